package rtmp

import "fmt"

// PeerError tells that the peer broke a rule of the protocol or a limit of
// this package. The connection cannot go on. Its text never holds anything
// that the peer named: no app, stream name, query or command.
type PeerError struct {
	// Rule is what was broken, as in "a chunk size is at least 1".
	Rule string
	// Section is where the rule stands, as in "RTMP 5.4.1".
	Section string
	// Got is what came instead, in numbers. It may be empty.
	Got string
}

// Error returns the rule, its section and what came instead.
func (e *PeerError) Error() string {
	if e.Got == "" {
		return fmt.Sprintf("rtmp: peer broke a rule: %s [%s]", e.Rule, e.Section)
	}
	return fmt.Sprintf("rtmp: peer broke a rule: %s [%s]: got %s", e.Rule, e.Section, e.Got)
}

func broke(section, rule string) error { return &PeerError{Rule: rule, Section: section} }

func brokeGot(section, rule, format string, args ...any) error {
	return &PeerError{Rule: rule, Section: section, Got: fmt.Sprintf(format, args...)}
}
