package storage

import (
	"testing"
	"time"
)

func TestKeep(t *testing.T) {
	const bucket = "s3://b/p?endpoint=http://127.0.0.1:1"
	for _, tt := range []struct {
		text   string
		window bool
		limit  time.Duration
		store  string // what becomes of bucket
	}{
		{"forever", false, 0, bucket},
		{"window", true, 0, bucket},
		{"none", true, 0, bucket + "&tag=weir-keep:none"},
		{"720h", false, 720 * time.Hour, bucket + "&tag=weir-keep:720h"},
	} {
		var k Keep
		if err := k.UnmarshalText([]byte(tt.text)); err != nil {
			t.Fatal(err)
		}
		if k.Window != tt.window || k.Limit != tt.limit || k.Tag(bucket) != tt.store {
			t.Errorf("%s: %+v, %s", tt.text, k, k.Tag(bucket))
		}
		if got := k.Tag("file:///x"); got != "file:///x" {
			t.Errorf("%s: a directory became %s", tt.text, got)
		}
	}
	for _, text := range []string{"", "1s", "-5h", "always", "7d"} {
		var k Keep
		if err := k.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: accepted", text)
		}
	}
	if got := (Keep{text: "none"}).Tag("S3://b"); got != "S3://b?tag=weir-keep:none" {
		t.Errorf("a scheme has no case (RFC 3986, 3.1), and yet S3://b became %s", got)
	}
	var k Keep
	if got := k.Tag("s3://b"); got != "s3://b" {
		t.Errorf("without --keep a bucket became %s", got)
	}
}
