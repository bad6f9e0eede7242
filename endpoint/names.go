package endpoint

import (
	"context"
	"strings"

	"weir/media"
	"weir/media/publishing"
)

// nameError says in words for the streamer what to change. It never repeats
// what was typed: the last part of a URL is a key.
type nameError string

func (e nameError) Error() string        { return string(e) }
func (e nameError) Is(target error) bool { return target == media.ErrStreamName }

// checkNames finds what is wrong however one may authenticate: URLs that an
// encoder has cut in another place than was meant.
func checkNames(app, name string) error {
	switch parts := strings.Count(app, "/") + 1; {
	case name == "" && parts > 1:
		return nameError("The stream key is empty: the server URL holds the whole path. Move its last part to the stream key.")
	case name == "":
		return nameError("The stream key is empty: the encoder asks for it beside the server URL.")
	case app == "" && strings.Contains(name, "/"):
		return nameError("The server URL has no application: move the first part of the stream key to the end of the server URL, as in rtmp://HOST/live.")
	case app == "":
		return nameError("The server URL has no application: it ends in one, as in rtmp://HOST/live.")
	case parts > 1:
		return nameError("The server URL has too many parts: one follows the host, as in rtmp://HOST/live, and the stream key stands by itself.")
	}
	return nil
}

// OpenAuth lets everybody publish: the publish name is the stream's name.
type OpenAuth struct{}

// Authorize accepts every request with a proper name.
func (OpenAuth) Authorize(_ context.Context, r Request) (publishing.Grant, error) {
	switch {
	case strings.Contains(r.Name, "/"):
		return publishing.Grant{}, nameError("The stream key holds a slash: it is one name, and the server URL ends in one, as in rtmp://HOST/live.")
	case strings.ContainsAny(r.Name, " \t"):
		return publishing.Grant{}, nameError("The stream key holds a blank: use a name without one.")
	case strings.Contains(r.Name, "%"):
		return publishing.Grant{}, nameError("The stream key holds a percent sign: use letters, digits, and . _ - only; a query begins with a question mark.")
	}
	s, err := media.ParseStream(r.App, r.Name)
	return publishing.Grant{Stream: s}, err
}

// Release does nothing: nobody counts.
func (OpenAuth) Release(publishing.Grant) {}
