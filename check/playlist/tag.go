package playlist

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/check/report"
)

// place is where a tag may stand [RFC 8216bis 4.4.1 to 4.4.6].
type place uint8

const (
	anywhere place = iota
	mediaPlaylist
	mediaSegment
	mediaMetadata
	multivariant
)

// form is the type of a tag's value or an attribute's [RFC 8216bis 4.2].
type form uint8

const (
	nothing     form = iota // no value
	list                    // an attribute list
	integer                 // decimal-integer, to 2^64-1
	float                   // decimal-floating-point
	signed                  // signed-decimal-floating-point
	quoted                  // quoted-string
	word                    // enumerated-string
	words                   // quoted or enumerated-string (CLOSED-CAPTIONS)
	hexadecimal             // hexadecimal-sequence
	resolution              // decimal-resolution
	byterange               // <n>[@<o>], bare in a tag, quoted in an attribute
	date                    // ISO 8601, bare in a tag, quoted in an attribute
	duration                // what EXTINF has: checked by the parser
	positive                // decimal-integer from 1
)

// attributeSpec is an attribute as its tag defines it. The name ends with "!"
// where it is required.
type attributeSpec struct {
	name   string
	form   form
	values string // of a word: the allowed ones, between spaces; "" is any
}

// tagSpec is a tag as the standard defines it.
type tagSpec struct {
	place      place
	form       form
	once       bool
	attributes []attributeSpec
}

// streamInf are the attributes that EXT-X-STREAM-INF and
// EXT-X-I-FRAME-STREAM-INF share.
var streamInf = []attributeSpec{
	{"BANDWIDTH!", integer, ""}, {"AVERAGE-BANDWIDTH", integer, ""}, {"SCORE", float, ""}, {"CODECS", quoted, ""},
	{"SUPPLEMENTAL-CODECS", quoted, ""}, {"RESOLUTION", resolution, ""}, {"HDCP-LEVEL", word, "TYPE-0 TYPE-1 NONE"},
	{"ALLOWED-CPC", quoted, ""}, {"VIDEO-RANGE", word, "SDR HLG PQ"}, {"REQ-VIDEO-LAYOUT", quoted, ""},
	{"STABLE-VARIANT-ID", quoted, ""}, {"VIDEO", quoted, ""}, {"PATHWAY-ID", quoted, ""},
}

// keyAttributes are those of EXT-X-KEY and EXT-X-SESSION-KEY.
var keyAttributes = []attributeSpec{
	{"METHOD!", word, "NONE AES-128 SAMPLE-AES SAMPLE-AES-CTR AES-256-GCM"}, {"URI", quoted, ""}, {"IV", hexadecimal, ""},
	{"KEYFORMAT", quoted, ""}, {"KEYFORMATVERSIONS", quoted, ""},
}

// tags are all tags of RFC 8216bis 4.4.
var tags = map[string]tagSpec{
	"EXTM3U":                       {anywhere, nothing, true, nil},
	"EXT-X-VERSION":                {anywhere, positive, true, nil},
	"EXT-X-INDEPENDENT-SEGMENTS":   {anywhere, nothing, true, nil},
	"EXT-X-START":                  {anywhere, list, true, []attributeSpec{{"TIME-OFFSET!", signed, ""}, {"PRECISE", word, "YES NO"}}},
	"EXT-X-DEFINE":                 {anywhere, list, false, []attributeSpec{{"NAME", quoted, ""}, {"VALUE", quoted, ""}, {"IMPORT", quoted, ""}, {"QUERYPARAM", quoted, ""}}},
	"EXT-X-TARGETDURATION":         {mediaPlaylist, integer, true, nil},
	"EXT-X-MEDIA-SEQUENCE":         {mediaPlaylist, integer, true, nil},
	"EXT-X-DISCONTINUITY-SEQUENCE": {mediaPlaylist, integer, true, nil},
	"EXT-X-ENDLIST":                {mediaPlaylist, nothing, true, nil},
	"EXT-X-PLAYLIST-TYPE":          {mediaPlaylist, word, true, nil},
	"EXT-X-I-FRAMES-ONLY":          {mediaPlaylist, nothing, true, nil},
	"EXT-X-ALLOW-CACHE":            {mediaPlaylist, word, true, nil},
	"EXT-X-PART-INF":               {mediaPlaylist, list, true, []attributeSpec{{"PART-TARGET!", float, ""}}},
	"EXT-X-SERVER-CONTROL": {mediaPlaylist, list, true, []attributeSpec{
		{"CAN-SKIP-UNTIL", float, ""}, {"CAN-SKIP-DATERANGES", word, "YES"}, {"HOLD-BACK", float, ""}, {"PART-HOLD-BACK", float, ""}, {"CAN-BLOCK-RELOAD", word, "YES"}}},
	"EXTINF":                  {mediaSegment, duration, false, nil},
	"EXT-X-BYTERANGE":         {mediaSegment, byterange, false, nil},
	"EXT-X-DISCONTINUITY":     {mediaSegment, nothing, false, nil},
	"EXT-X-KEY":               {mediaSegment, list, false, keyAttributes},
	"EXT-X-MAP":               {mediaSegment, list, false, []attributeSpec{{"URI!", quoted, ""}, {"BYTERANGE", byterange, ""}}},
	"EXT-X-PROGRAM-DATE-TIME": {mediaSegment, date, false, nil},
	"EXT-X-GAP":               {mediaSegment, nothing, false, nil},
	"EXT-X-BITRATE":           {mediaSegment, integer, false, nil},
	"EXT-X-PART": {mediaSegment, list, false, []attributeSpec{
		{"URI!", quoted, ""}, {"DURATION!", float, ""}, {"INDEPENDENT", word, "YES"}, {"BYTERANGE", byterange, ""}, {"GAP", word, "YES"}}},
	"EXT-X-DATERANGE": {mediaMetadata, list, false, []attributeSpec{
		{"ID!", quoted, ""}, {"CLASS", quoted, ""}, {"START-DATE", date, ""}, {"CUE", words, ""}, {"END-DATE", date, ""}, {"DURATION", float, ""},
		{"PLANNED-DURATION", float, ""}, {"SCTE35-CMD", hexadecimal, ""}, {"SCTE35-OUT", hexadecimal, ""}, {"SCTE35-IN", hexadecimal, ""}, {"END-ON-NEXT", word, "YES"}}},
	"EXT-X-SKIP":         {mediaMetadata, list, true, []attributeSpec{{"SKIPPED-SEGMENTS!", integer, ""}, {"RECENTLY-REMOVED-DATERANGES", quoted, ""}}},
	"EXT-X-PRELOAD-HINT": {mediaMetadata, list, false, []attributeSpec{{"TYPE!", word, "PART MAP"}, {"URI!", quoted, ""}, {"BYTERANGE-START", integer, ""}, {"BYTERANGE-LENGTH", integer, ""}}},
	"EXT-X-RENDITION-REPORT": {mediaMetadata, list, false, []attributeSpec{
		{"URI!", quoted, ""}, {"LAST-MSN", integer, ""}, {"LAST-PART", integer, ""}}},
	"EXT-X-MEDIA": {multivariant, list, false, []attributeSpec{
		{"TYPE!", word, "AUDIO VIDEO SUBTITLES CLOSED-CAPTIONS"}, {"URI", quoted, ""}, {"GROUP-ID!", quoted, ""}, {"LANGUAGE", quoted, ""},
		{"ASSOC-LANGUAGE", quoted, ""}, {"NAME!", quoted, ""}, {"STABLE-RENDITION-ID", quoted, ""}, {"DEFAULT", word, "YES NO"}, {"AUTOSELECT", word, "YES NO"},
		{"FORCED", word, "YES NO"}, {"INSTREAM-ID", quoted, ""}, {"BIT-DEPTH", integer, ""}, {"SAMPLE-RATE", integer, ""}, {"CHARACTERISTICS", quoted, ""}, {"CHANNELS", quoted, ""}}},
	"EXT-X-STREAM-INF": {multivariant, list, false, slices.Concat(streamInf, []attributeSpec{
		{"FRAME-RATE", float, ""}, {"AUDIO", quoted, ""}, {"SUBTITLES", quoted, ""}, {"CLOSED-CAPTIONS", words, "NONE"}})},
	"EXT-X-I-FRAME-STREAM-INF": {multivariant, list, false, slices.Concat(streamInf, []attributeSpec{{"URI!", quoted, ""}})},
	"EXT-X-SESSION-DATA": {multivariant, list, false, []attributeSpec{
		{"DATA-ID!", quoted, ""}, {"VALUE", quoted, ""}, {"URI", quoted, ""}, {"FORMAT", word, "JSON RAW"}, {"LANGUAGE", quoted, ""}}},
	"EXT-X-SESSION-KEY":      {multivariant, list, false, keyAttributes},
	"EXT-X-CONTENT-STEERING": {multivariant, list, true, []attributeSpec{{"SERVER-URI!", quoted, ""}, {"PATHWAY-ID", quoted, ""}}},
}

var (
	floatForm      = regexp.MustCompile(`^[0-9]+(\.[0-9]*)?$|^\.[0-9]+$`)
	signedForm     = regexp.MustCompile(`^-?([0-9]+(\.[0-9]*)?|\.[0-9]+)$`)
	hexForm        = regexp.MustCompile(`^0[xX][0-9A-Fa-f]+$`)
	wordForm       = regexp.MustCompile(`^[^",\s]+$`)
	resolutionForm = regexp.MustCompile(`^([0-9]{1,9})x([0-9]{1,9})$`)
	byterangeForm  = regexp.MustCompile(`^([0-9]{1,18})(?:@([0-9]{1,18}))?$`)
)

// wellFormed tells whether a bare value has a form. It does not look at
// quotes.
func wellFormed(value string, f form) bool {
	switch f {
	case nothing:
		return value == ""
	case integer:
		_, err := strconv.ParseUint(value, 10, 64)
		return err == nil && value[0] != '+'
	case positive:
		n, err := strconv.ParseUint(value, 10, 31)
		return err == nil && n >= 1
	case float:
		return floatForm.MatchString(value)
	case signed:
		return signedForm.MatchString(value)
	case hexadecimal:
		return hexForm.MatchString(value)
	case word:
		return wordForm.MatchString(value)
	case resolution:
		return resolutionForm.MatchString(value)
	case byterange:
		return byterangeForm.MatchString(value)
	case date:
		_, _, err := parseDate(value)
		return err == nil
	}
	return true
}

// isQuoted: values of these forms stand between quotes in an attribute list.
func (f form) isQuoted() bool { return f == quoted || f == byterange || f == date }

// wrongWith says what is wrong with an attribute's value, or "".
func (s attributeSpec) wrongWith(a attribute) string {
	name := strings.TrimSuffix(s.name, "!")
	switch {
	case s.form == words && a.quoted:
		return ""
	case s.form.isQuoted() && !a.quoted:
		return name + " must be a quoted string"
	case !s.form.isQuoted() && a.quoted:
		return name + " must not be quoted"
	case !wellFormed(a.Value, s.form):
		return fmt.Sprintf("%s=%s is not of its type", name, report.Clip(a.Value, 60))
	case s.values != "" && !slices.Contains(strings.Fields(s.values), a.Value):
		return fmt.Sprintf("%s=%s is none of %s", name, report.Clip(a.Value, 60), s.values)
	}
	return ""
}

// dateForms are the forms of ISO 8601 that are met in playlists. Go reads a
// fraction of a second where a form has none.
var dateForms = []struct {
	layout string
	zone   bool
}{
	{time.RFC3339, true}, {"2006-01-02T15:04:05Z0700", true}, {"2006-01-02T15:04:05Z07", true}, {"2006-01-02T15:04:05", false},
	{"20060102T150405Z0700", true}, {"20060102T150405Z07:00", true}, {"20060102T150405", false},
}

// parseDate reads an ISO 8601 date and tells whether it has a time zone and
// milliseconds [RFC 8216bis 4.4.4.6].
func parseDate(s string) (t time.Time, exact bool, err error) {
	if len(s) > 40 {
		return t, false, fmt.Errorf("read date: %d characters are too many", len(s))
	}
	for _, f := range dateForms {
		if t, err = time.Parse(f.layout, s); err == nil {
			_, fraction, _ := strings.Cut(strings.ReplaceAll(s, ",", "."), ".")
			digits := 0
			for digits < len(fraction) && fraction[digits] >= '0' && fraction[digits] <= '9' {
				digits++
			}
			return t, f.zone && digits >= 3, nil
		}
	}
	return t, false, fmt.Errorf("read date: %q is not ISO 8601", report.Clip(s, 40))
}
