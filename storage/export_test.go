package storage

// FileError lets tests name errors that they cannot bring about.
var FileError = fileError

// Linger begins a write of body to d and calls wait before the end of it.
func Linger(d *Directory, body []byte, wait func() error) error {
	temp, err := createTemp(d.root)
	if err != nil {
		return err
	}
	if err := temp.write(body, `"x"`); err != nil {
		return err
	}
	return wait()
}
