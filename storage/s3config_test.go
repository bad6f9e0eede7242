package storage_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/storage"
)

func TestParseS3(t *testing.T) {
	aws := storage.S3Config{Bucket: "b", Checksum: true, AttemptTimeout: 1500 * time.Millisecond, Patience: 30 * time.Second}
	other := aws
	other.PathStyle, other.Region = true, "us-east-1"
	with := func(c storage.S3Config, set func(*storage.S3Config)) storage.S3Config { set(&c); return c }
	for _, c := range []struct {
		url  string
		want storage.S3Config
	}{
		{"s3://b", aws},
		{"s3://b/", aws},
		{"s3://b/x/y/", with(aws, func(c *storage.S3Config) { c.Prefix = "x/y" })},
		{"s3://b?region=eu-west-1&checksum=false", with(aws, func(c *storage.S3Config) { c.Region, c.Checksum = "eu-west-1", false })},
		{"s3://b?endpoint=http://127.0.0.1:9000", with(other, func(c *storage.S3Config) { c.Endpoint = "http://127.0.0.1:9000" })},
		{"s3://b?endpoint=http://[::1]:9000", with(other, func(c *storage.S3Config) { c.Endpoint = "http://[::1]:9000" })},
		{"s3://b?endpoint=https://s3.example.com", with(other, func(c *storage.S3Config) { c.Endpoint = "https://s3.example.com" })},
		// In the clear over a network only a signature guards the body.
		{"s3://b?endpoint=http://minio:9000", with(other, func(c *storage.S3Config) { c.Endpoint, c.SignPayload = "http://minio:9000", true })},
		{"s3://b?endpoint=http://minio:9000&sign-payload=false", with(other, func(c *storage.S3Config) { c.Endpoint = "http://minio:9000" })},
		{"s3://b?endpoint=https://h&path-style=false&region=auto&checksum=false", with(other, func(c *storage.S3Config) {
			c.Endpoint, c.PathStyle, c.Region, c.Checksum = "https://h", false, "auto", false
		})},
		{"s3://b?encryption=aws:kms&kms-key=k&storage-class=GLACIER_IR&attempt-timeout=3s&tag=a:b&tag=c:", with(aws, func(c *storage.S3Config) {
			c.Encryption, c.KMSKey, c.StorageClass, c.AttemptTimeout = "aws:kms", "k", "GLACIER_IR", 3*time.Second
			c.Tags = map[string]string{"a": "b", "c": ""}
		})},
	} {
		got, err := storage.ParseS3(c.url)
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s:\n%s", c.url, diff)
		}
	}
}

func TestS3Base(t *testing.T) {
	for url, want := range map[string]string{
		"s3://b":                    "",
		"s3://b/p?region=eu-west-1": "https://b.s3.eu-west-1.amazonaws.com/p",
		"s3://b?region=eu-west-1&path-style=true":    "https://s3.eu-west-1.amazonaws.com/b",
		"s3://b/p/q?endpoint=http://127.0.0.1:9000/": "http://127.0.0.1:9000/b/p/q",
		"s3://b?endpoint=https://h&path-style=false": "https://b.h",
		"s3://b/a%20b?endpoint=https://h":            "https://h/b/a%20b",
	} {
		c, err := storage.ParseS3(url)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Base(); got != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
}

func TestParseS3Refuses(t *testing.T) {
	for _, url := range []string{
		"", "s3:", "s3://", "s3:///p", "http://b", "s3://b#f", "s3://b/../x", "s3://b?x", "s3://b?a=%zz",
		"s3://key:secret@b", "s3://key:se%secret@b", "s3://b?endpoint=https://key:%25secret@h%25zz", "s3://b?endpoint=127.0.0.1:9000", "s3://b?endpoint=ftp://h", "s3://b?endpoint=https://h/?x=y", "s3://b?endpoint=https://key:secret@h",
		"s3://b?path-style=maybe", "s3://b?encryption=rot13", "s3://b?tag=a", "s3://b?tag=:b", "s3://b?attempt-timeout=-1s",
		"s3://b?tag=1:&tag=2:&tag=3:&tag=4:&tag=5:&tag=6:&tag=7:&tag=8:&tag=9:&tag=10:&tag=11:",
	} {
		_, err := storage.ParseS3(url)
		if err == nil {
			t.Errorf("%s: no error", url)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error tells the secret: %v", url, err)
		}
	}
}

// A URL that is nearly right is answered with what would be.
func TestParseS3Advises(t *testing.T) {
	for url, want := range map[string]string{
		"s3://b?endpont=http://h":          "there are endpoint,",
		"s3://b?endpoint=127.0.0.1:9000":   "https://host:port",
		"s3://b?endpoint=localhost:9000":   "https://host:port",
		"s3://127.0.0.1:9000/b":            "endpoint=http://host:port",
		"s3://b?endpoint=https://h/b":      "bucket's name",
		"s3://b?endpoint=https://h/b/":     "bucket's name",
		"s3://b?conditional=no":            `"no" is neither true nor false`,
		"s3://b?attempt-timeout=3":         "missing unit",
		"s3://b?encryption=rot13":          "AES256",
		"s3://key:pass@b?endpoint=http://": "AWS_ACCESS_KEY_ID",
	} {
		if _, err := storage.ParseS3(url); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
}

func FuzzParseS3(f *testing.F) {
	f.Add("s3://b/p?endpoint=http://127.0.0.1:9000&region=r&path-style=true&tag=a:b")
	f.Fuzz(func(t *testing.T, url string) {
		c, err := storage.ParseS3(url)
		if err != nil {
			return
		}
		if c.Bucket == "" || c.AttemptTimeout <= 0 || len(c.Tags) > 10 {
			t.Errorf("%q is accepted as %+v", url, c)
		}
		if c.Prefix != "" && storage.CheckKey(c.Prefix) != nil {
			t.Errorf("%q has the prefix %q", url, c.Prefix)
		}
	})
}
