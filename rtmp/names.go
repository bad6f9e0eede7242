package rtmp

import "strings"

// People copy publish URLs by hand, and encoders cut them in different places.
// What only differs in form is taken for the same thing here.

// blanks are what gets into a name when it is copied with its surroundings.
const blanks = " \t\r\n\u00a0\u200b\ufeff"

// defaultInstance is the instance that Flash Media Server calls an application
// by when none is named: live and live/_definst_ are the same.
const defaultInstance = "/_definst_"

// cutApp cuts an app, or the path of a tcUrl, into application and query:
// blanks and slashes around it go, and so does the default instance.
func cutApp(s string) (app, query string) {
	app, query, _ = strings.Cut(strings.Trim(s, blanks), "?")
	app = strings.Trim(app, blanks+"/")
	app = strings.TrimSuffix(app, defaultInstance)
	if app == defaultInstance[1:] {
		app = ""
	}
	return strings.Trim(app, "/"), query
}

// cutName cuts the name of a publish into name and query. Blanks and slashes
// around it go.
func cutName(s string) (name, query string) {
	name, query, _ = strings.Cut(strings.Trim(s, blanks), "?")
	return strings.Trim(name, blanks+"/"), query
}

// pathOf returns what follows the host in a URL such as
// rtmp://host:1935/live/room?query.
func pathOf(url string) string {
	if _, rest, ok := strings.Cut(url, "://"); ok {
		url = rest
	}
	i := strings.IndexAny(url, "/?")
	if i < 0 {
		return ""
	}
	return url[i:]
}

// maxEncoder is the longest text about itself that is taken of an encoder.
const maxEncoder = 80

// printable returns the printable ASCII of what a peer says of itself, cut at
// maxEncoder: it ends in logs.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s[:min(len(s), 4*maxEncoder)])
	return strings.TrimSpace(s[:min(len(s), maxEncoder)])
}
