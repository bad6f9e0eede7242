package storage

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// S3Config says where a bucket is and how objects are put into it.
// Credentials are no part of it: they come from the SDK's default chain, in
// order the environment, the shared files, and the container's or machine's
// role, and are renewed before they expire.
type S3Config struct {
	Bucket string
	// Prefix, where not empty, is put before each key with a slash between.
	Prefix string
	// Endpoint is the URL of a store that is not AWS.
	Endpoint string
	// Region signs requests; with an Endpoint it is us-east-1 unless given.
	// Without either it is the SDK's to find.
	Region string
	// PathStyle names the bucket in the path (endpoint/bucket/key) and not in
	// the host (bucket.endpoint/key).
	PathStyle bool
	// SignPayload hashes each body into the request's signature (SHA-256, four
	// fifths of the CPU of a put). Without it TLS guards the body, so that it
	// is not done over TLS or to a loopback address unless asked for.
	SignPayload bool
	// Checksum sends a CRC-32 with each body, which the store compares. Without
	// it, and without a signature, a store may keep the beginning of a body
	// whose connection broke: versitygw 1.8.0 does, and viewers see that.
	Checksum bool
	// Encryption asks for server-side encryption: AES256, aws:kms or
	// aws:kms:dsse, the latter two with the key of KMSKey or the bucket's.
	Encryption, KMSKey string
	// StorageClass is that of immutable objects. What will be overwritten is
	// put into the bucket's default class: the cheaper ones bill each version
	// for 30 days and more.
	StorageClass string
	// Tags are put on every object, for the bucket's lifecycle rules to expire
	// what is to be kept for a time only.
	Tags map[string]string
	// Unconditional is for stores that do not have conditional writes: a
	// Condition is checked before the write, by a request of its own. Between
	// the two another writer may come.
	Unconditional bool
	// AttemptTimeout bounds the first attempt of a call, on top of a second
	// for each MiB of its body; each further attempt may take twice as long as
	// the one before.
	AttemptTimeout time.Duration
	// Patience bounds a call whose context has no deadline.
	Patience time.Duration
}

// The defaults of S3Config. The attempt timeout is long against the 10–100 ms
// of a healthy store and short against a segment.
const (
	DefaultAttemptTimeout = 1500 * time.Millisecond
	DefaultPatience       = 30 * time.Second
)

// ParseS3 reads a URL of the form s3://bucket/prefix?parameter=value&…, where
// everything but the bucket is optional. The parameters and their defaults:
//
//	endpoint         AWS; or http://host:port, https://host
//	region           the SDK's; us-east-1 with an endpoint
//	path-style       false on AWS, true with an endpoint
//	sign-payload     false over https or to a loopback address, else true
//	checksum         true
//	encryption       the bucket's; or AES256, aws:kms, aws:kms:dsse
//	kms-key          the bucket's
//	storage-class    STANDARD, for immutable objects; others are always that
//	conditional      true
//	tag=name:value   none; may be repeated, at most ten
//	attempt-timeout  1.5s
func ParseS3(rawURL string) (S3Config, error) {
	u, err := url.Parse(rawURL)
	switch {
	case err != nil:
		return S3Config{}, fmt.Errorf("parse store URL: %w", withoutURL(err))
	case u.Scheme != "s3" || u.Host == "" || u.Fragment != "":
		return S3Config{}, errors.New("parse store URL: not of the form s3://bucket/prefix?parameter=value")
	case u.Port() != "":
		return S3Config{}, errors.New("parse store URL: a port behind the bucket's name; the host goes into the parameter endpoint=http://host:port")
	case u.User != nil:
		return S3Config{}, errors.New("parse store URL: credentials do not belong into a URL, which ends up in logs; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	}
	parameters, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return S3Config{}, fmt.Errorf("parse store URL: %w", err)
	}
	endpoint := parameters.Get("endpoint")
	c := S3Config{
		Bucket:         u.Host,
		Prefix:         strings.Trim(u.Path, "/"),
		Endpoint:       endpoint,
		PathStyle:      endpoint != "",
		Checksum:       true,
		AttemptTimeout: DefaultAttemptTimeout,
		Patience:       DefaultPatience,
	}
	if endpoint != "" {
		c.Region = "us-east-1"
		if c.SignPayload, err = isExposed(endpoint, c.Bucket); err != nil {
			return S3Config{}, fmt.Errorf("parse store URL: endpoint: %w", err)
		}
	}
	if c.Prefix != "" {
		if err := CheckKey(c.Prefix); err != nil {
			return S3Config{}, fmt.Errorf("parse store URL: prefix: %w", err)
		}
	}
	for name, values := range parameters {
		if err := c.set(name, values); err != nil {
			return S3Config{}, fmt.Errorf("parse store URL: %s: %w", name, err)
		}
	}
	return c, nil
}

// isExposed tells whether what is sent to the endpoint can be altered on its
// way by others.
func isExposed(endpoint, bucket string) (bool, error) {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return false, errors.New("not of the form https://host:port")
	case strings.Trim(u.Path, "/") == bucket:
		return false, errors.New("has the bucket's name behind it, which stands before the prefix: s3://bucket/prefix?endpoint=https://host")
	case u.User != nil || u.RawQuery != "":
		return false, errors.New("has credentials or a query")
	}
	ip := net.ParseIP(u.Hostname())
	loopback := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	return u.Scheme == "http" && !loopback, nil
}

// withoutURL takes the URL out of an error of url.Parse: it may hold a secret
// in a place where none belongs.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func (c *S3Config) set(name string, values []string) (err error) {
	value := values[len(values)-1] // of a repeated parameter the last holds
	switch name {
	case "endpoint":
	case "region":
		c.Region = value
	case "path-style":
		c.PathStyle, err = parseBool(value)
	case "sign-payload":
		c.SignPayload, err = parseBool(value)
	case "checksum":
		c.Checksum, err = parseBool(value)
	case "encryption":
		c.Encryption = value
		if value != "AES256" && value != "aws:kms" && value != "aws:kms:dsse" {
			err = fmt.Errorf("%q is not AES256, aws:kms or aws:kms:dsse", value)
		}
	case "kms-key":
		c.KMSKey = value
	case "storage-class":
		c.StorageClass = value
	case "conditional":
		var conditional bool
		conditional, err = parseBool(value)
		c.Unconditional = !conditional
	case "tag":
		c.Tags, err = parseTags(values)
	case "attempt-timeout":
		if c.AttemptTimeout, err = time.ParseDuration(value); err == nil && c.AttemptTimeout <= 0 {
			err = errors.New("not positive")
		}
	default:
		err = errors.New("unknown parameter; there are " + parameters)
	}
	return err
}

// parameters are the names that set knows.
const parameters = "endpoint, region, path-style, sign-payload, checksum, conditional, encryption, kms-key, storage-class, tag and attempt-timeout"

func parseBool(text string) (bool, error) {
	v, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("%q is neither true nor false", text)
	}
	return v, nil
}

// parseTags reads name:value pairs, within the limits of S3 (User Guide,
// "Categorizing your objects using tags").
func parseTags(pairs []string) (map[string]string, error) {
	tags := make(map[string]string)
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, ":")
		if !ok || name == "" || len(name) > 128 || len(value) > 256 {
			return nil, fmt.Errorf("%q is not of the form name:value, at most 128 and 256 bytes", pair)
		}
		tags[name] = value
	}
	if len(tags) > 10 {
		return nil, fmt.Errorf("%d tags, S3 allows 10", len(tags))
	}
	return tags, nil
}

// Base is the URL of the objects' keys as the store itself serves them, for
// viewers without a CDN; empty on AWS where no region is given.
func (c S3Config) Base() string {
	scheme, host := "https", "s3."+c.Region+".amazonaws.com"
	if c.Endpoint != "" {
		scheme, host, _ = strings.Cut(strings.TrimSuffix(c.Endpoint, "/"), "://")
	} else if c.Region == "" {
		return ""
	}
	base := scheme + "://" + c.Bucket + "." + host
	if c.PathStyle {
		base = scheme + "://" + host + "/" + c.Bucket
	}
	if c.Prefix != "" {
		base += "/" + (&url.URL{Path: c.Prefix}).EscapedPath()
	}
	return base
}
