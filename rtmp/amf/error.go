package amf

import "fmt"

// Error tells which rule of the format a value breaks, and where. It never
// repeats the value's bytes: they may hold a stream key.
type Error struct {
	// Offset is where in the input decoding stopped, in bytes.
	Offset int
	// Rule is what the bytes break, as in "the value is cut short".
	Rule string
	// Section is where the rule stands, as in "AMF0 2.12".
	Section string
}

// Error returns the rule, its section and the offset.
func (e *Error) Error() string {
	return fmt.Sprintf("amf: at byte %d: %s [%s]", e.Offset, e.Rule, e.Section)
}

func (d *decoder) fail(rule, section string) error {
	return &Error{Offset: d.off, Rule: rule, Section: section}
}

func (d *decoder) short(section string) error { return d.fail("the value is cut short", section) }
