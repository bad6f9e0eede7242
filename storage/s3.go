package storage

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"weir/media/object"
)

// S3 keeps objects in a bucket of AWS S3, or of a store that speaks its
// protocol.
//
// A call is tried again, with jitter, for as long as its context allows and the
// failure may pass: give each call a deadline, such as the age at which its
// segment is of no more use. Failures that will not pass are returned at once.
// A conditional write that was tried again, met its own earlier attempt, whose
// answer had been lost, and was refused for it, is told from one that met
// another's object: each write carries a number of its own in its metadata.
//
// A Put that runs out of time may still have happened, and may happen up to an
// attempt's timeout later. Whoever repeats such a Put and gets
// object.ErrPrecondition compares: the same bytes are as good as his own.
type S3 struct {
	// Refused, where it is set before the first call, is called when the store
	// begins to refuse our credentials or our clock, with its answer, and with
	// nil when it accepts them again. Meanwhile they are renewed; calls fail
	// where that does not help.
	Refused func(refusal error)

	config S3Config
	client *s3.Client
	prefix string
	http   *http.Transport
	login  login
	pace   pace
	usage  Usage

	pageSize int32 // objects that a request lists
}

// writeMetadata names the metadata that carries a write's own number.
const writeMetadata = "weir-write"

// NewS3 prepares access to a bucket. It sends nothing: whether the bucket is
// there, and what it can do, is for Probe to find out.
func NewS3(ctx context.Context, c S3Config) (*S3, error) {
	options := []func(*config.LoadOptions) error{config.WithHTTPClient(awshttp.NewBuildableClient())}
	if c.Region != "" {
		options = append(options, config.WithRegion(c.Region))
	}
	loaded, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("open S3 store: load configuration: %w", err)
	}
	if loaded.Region == "" {
		return nil, errors.New("open S3 store: no region: set AWS_REGION or the URL's region parameter")
	}
	s := &S3{config: c, http: newTransport(loaded), pageSize: 1000} // S3's most
	if c.Prefix != "" {
		s.prefix = c.Prefix + "/"
	}
	if cache, ok := loaded.Credentials.(*aws.CredentialsCache); ok {
		s.login.cache = cache
	}
	s.client = s3.NewFromConfig(loaded, s.configure)
	return s, nil
}

// newTransport keeps connections to the store open between segments. What the
// SDK's configuration says about TLS (AWS_CA_BUNDLE) holds.
func newTransport(loaded aws.Config) *http.Transport {
	client, ok := loaded.HTTPClient.(*awshttp.BuildableClient)
	if !ok {
		client = awshttp.NewBuildableClient()
	}
	t := client.GetTransport()
	t.MaxIdleConns = 0 // no bound: there is one host
	t.MaxIdleConnsPerHost = 64
	t.IdleConnTimeout = 60 * time.Second
	t.DisableCompression = true // what is stored is what is wanted
	return t
}

// configure sets what was measured to matter; docs/storage.md has the figures.
func (s *S3) configure(o *s3.Options) {
	o.HTTPClient = &http.Client{Transport: s.http}
	o.UsePathStyle = s.config.PathStyle
	if s.config.Endpoint != "" {
		o.BaseEndpoint = aws.String(s.config.Endpoint)
	}
	// The SDK's own retries know neither the caller's deadline nor a lost
	// answer from a refusal; see attempts.
	o.Retryer = aws.NopRetryer{}
	// "When supported" sends trailing checksums in aws-chunked bodies, which
	// many stores refuse. The one that is wanted is computed in putInput.
	o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	// A store that does not answer Expect: 100-continue costs a second.
	o.ContinueHeaderThresholdBytes = -1
	if !s.config.SignPayload {
		o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
	}
}

// Usage counts the requests that were sent, each attempt for itself.
func (s *S3) Usage() *Usage { return &s.usage }

// Put writes o where c holds; see [Store] and, on answers that are lost, [S3].
func (s *S3) Put(ctx context.Context, o object.Object, c object.Condition) (etag string, err error) {
	if err := admit(ctx, o.Key); err != nil {
		return "", fmt.Errorf("put object: %w", err)
	}
	if c.Absent && c.Match != "" {
		return "", fmt.Errorf("put object %s: %w", o.Key, object.ErrPrecondition)
	}
	if s.config.Unconditional {
		if err := s.check(ctx, o.Key, c); err != nil {
			return "", fmt.Errorf("put object %s: %w", o.Key, err)
		}
		c = object.Condition{}
	}
	input := s.putInput(o, c)
	lost, err := s.attempts(ctx, &s.usage.Put, int64(len(o.Body)), func(ctx context.Context) error {
		input.Body = bytes.NewReader(o.Body)
		output, err := s.client.PutObject(ctx, input)
		if err == nil {
			etag, err = entityTag(output.ETag)
		}
		return err
	})
	if c.Match != "" && errors.Is(err, object.ErrNotExist) {
		// S3 answers 404 to If-Match where there is no object.
		err = fmt.Errorf("%w: %w", object.ErrPrecondition, err)
	}
	if lost && errors.Is(err, object.ErrPrecondition) {
		etag, err = s.recognise(ctx, input, err)
	}
	if torn := (*tornError)(nil); errors.As(err, &torn) {
		return s.Put(ctx, o, object.Condition{Match: torn.etag})
	}
	if err != nil {
		return "", fmt.Errorf("put object %s: %w", o.Key, err)
	}
	return etag, nil
}

// check tells whether c holds at the moment.
func (s *S3) check(ctx context.Context, key string, c object.Condition) error {
	if c == (object.Condition{}) {
		return nil
	}
	info, err := s.Stat(ctx, key)
	if err != nil && !errors.Is(err, object.ErrNotExist) {
		return err
	}
	if !admits(c, info.ETag) {
		return object.ErrPrecondition
	}
	return nil
}

func (s *S3) putInput(o object.Object, c object.Condition) *s3.PutObjectInput {
	input := &s3.PutObjectInput{
		Bucket:               &s.config.Bucket,
		Key:                  aws.String(s.prefix + o.Key),
		ContentLength:        aws.Int64(int64(len(o.Body))),
		ContentType:          optional(o.ContentType),
		CacheControl:         optional(o.CacheControl),
		ServerSideEncryption: types.ServerSideEncryption(s.config.Encryption),
		SSEKMSKeyId:          optional(s.config.KMSKey),
		IfMatch:              optional(c.Match),
	}
	if c.Absent {
		input.IfNoneMatch = aws.String("*")
	}
	if c != (object.Condition{}) {
		input.Metadata = map[string]string{writeMetadata: rand.Text()}
	}
	if o.CacheControl == object.CacheForever {
		input.StorageClass = types.StorageClass(s.config.StorageClass)
	}
	if len(s.config.Tags) > 0 {
		tags := make(url.Values)
		for name, value := range s.config.Tags {
			tags.Set(name, value)
		}
		input.Tagging = aws.String(tags.Encode())
	}
	if s.config.Checksum {
		input.ChecksumCRC32 = aws.String(checksum(o.Body))
	}
	return input
}

// tornError says that an upload which broke off is there, cut short: some
// stores keep what has come of a body whose connection ended (versitygw 1.8.0
// does, where neither signature nor checksum covers the body).
type tornError struct{ etag string }

func (e *tornError) Error() string {
	return "the store keeps the beginning of an upload that broke off"
}

// recognise tells a write that was refused because an earlier attempt of it,
// whose answer was lost, had succeeded, from one that another's object refused.
// It returns a *tornError where that attempt left a part of the body.
func (s *S3) recognise(ctx context.Context, put *s3.PutObjectInput, refusal error) (etag string, err error) {
	var metadata map[string]string
	var size int64
	_, err = s.attempts(ctx, &s.usage.Stat, 0, func(ctx context.Context) error {
		output, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: put.Bucket, Key: put.Key})
		if err == nil {
			metadata, size = output.Metadata, aws.ToInt64(output.ContentLength)
			etag, err = entityTag(output.ETag)
		}
		return err
	})
	switch {
	case errors.Is(err, object.ErrNotExist): // deleted meanwhile
		return "", refusal
	case err != nil:
		return "", fmt.Errorf("tell a lost answer from a refusal: %w", err)
	case metadata[writeMetadata] != put.Metadata[writeMetadata]:
		return "", refusal
	case size != aws.ToInt64(put.ContentLength):
		return "", &tornError{etag}
	}
	return etag, nil
}

// Get reads an object whole; see [Store].
func (s *S3) Get(ctx context.Context, key string) (body []byte, info object.Info, err error) {
	if err := admitRead(ctx, key); err != nil {
		return nil, object.Info{}, fmt.Errorf("get object: %w", err)
	}
	const attempts = 3 // each needs a broken connection and a new version
	for range attempts {
		body, info, err = s.get(ctx, key)
		if !errors.Is(err, object.ErrPrecondition) {
			break
		}
	}
	if err != nil {
		return nil, object.Info{}, fmt.Errorf("get object %s: %w", key, err)
	}
	return body, info, nil
}

func (s *S3) get(ctx context.Context, key string) ([]byte, object.Info, error) {
	r, info, err := s.open(ctx, key)
	if err != nil {
		return nil, object.Info{}, err
	}
	defer r.drop()
	// Allocated is what was announced, but at most 16 MiB ahead of the bytes.
	const most = 16 << 20
	var body bytes.Buffer
	body.Grow(int(max(0, min(info.Size, most))) + bytes.MinRead)
	if _, err := body.ReadFrom(r); err != nil {
		return nil, object.Info{}, err
	}
	return body.Bytes(), info, nil
}

// Stat describes an object; see [Store].
func (s *S3) Stat(ctx context.Context, key string) (info object.Info, err error) {
	if err := admitRead(ctx, key); err != nil {
		return object.Info{}, fmt.Errorf("stat object: %w", err)
	}
	_, err = s.attempts(ctx, &s.usage.Stat, 0, func(ctx context.Context) error {
		output, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.config.Bucket, Key: aws.String(s.prefix + key)})
		if err == nil {
			info, err = inform(key, output.ContentLength, output.ETag, output.LastModified)
		}
		return err
	})
	if err != nil {
		return object.Info{}, fmt.Errorf("stat object %s: %w", key, err)
	}
	return info, nil
}

// List yields the objects page by page; see [Store]. Objects whose keys break
// CheckKey are somebody else's and are left out.
func (s *S3) List(ctx context.Context, prefix string) iter.Seq2[object.Info, error] {
	return func(yield func(object.Info, error) bool) {
		input := &s3.ListObjectsV2Input{Bucket: &s.config.Bucket, Prefix: aws.String(s.prefix + prefix), MaxKeys: &s.pageSize}
		for {
			page, err := s.listPage(ctx, input)
			if err != nil {
				yield(object.Info{}, fmt.Errorf("list objects: %w", err))
				return
			}
			for _, o := range page.Contents {
				key := strings.TrimPrefix(aws.ToString(o.Key), s.prefix)
				if CheckKey(key) != nil {
					continue
				}
				info, _ := inform(key, o.Size, o.ETag, o.LastModified) // an ETag may be empty here
				if !yield(info, nil) {
					return
				}
			}
			if !aws.ToBool(page.IsTruncated) {
				return
			}
			input.ContinuationToken = page.NextContinuationToken
		}
	}
}

func (s *S3) listPage(ctx context.Context, input *s3.ListObjectsV2Input) (page *s3.ListObjectsV2Output, err error) {
	_, err = s.attempts(ctx, &s.usage.List, 0, func(ctx context.Context) error {
		page, err = s.client.ListObjectsV2(ctx, input)
		return err
	})
	return page, err
}

// Delete removes an object; see [Store].
func (s *S3) Delete(ctx context.Context, key string) error {
	if err := admit(ctx, key); err != nil {
		return fmt.Errorf("delete object: %w", err)
	}
	_, err := s.attempts(ctx, &s.usage.Delete, 0, func(ctx context.Context) error {
		_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.config.Bucket, Key: aws.String(s.prefix + key)})
		return err
	})
	if err != nil && !errors.Is(err, object.ErrNotExist) {
		return fmt.Errorf("delete object %s: %w", key, err)
	}
	return nil
}

// inform describes an object by what an answer said of it.
func inform(key string, size *int64, etag *string, modified *time.Time) (object.Info, error) {
	tag, err := entityTag(etag)
	return object.Info{Key: key, Size: aws.ToInt64(size), ETag: tag, Modified: aws.ToTime(modified)}, err
}

// errForeign is an answer of success that no S3 gives, but a login page may.
var errForeign = errors.New("answer without an ETag: is this an S3 endpoint?")

// entityTag puts an ETag into the form of RFC 9110, 8.8.3: some stores leave
// out the quotes, at least in lists.
func entityTag(etag *string) (string, error) {
	tag := strings.Trim(aws.ToString(etag), `"`)
	if tag == "" {
		return "", errForeign
	}
	return `"` + tag + `"`, nil
}

// checksum is a CRC-32 (ISO-HDLC, as in zlib) in the form of S3's
// x-amz-checksum-crc32: base64 of its four bytes, big endian.
func checksum(body []byte) string {
	sum := crc32.ChecksumIEEE(body)
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// CloseIdleConnections closes the connections that no call is using.
func (s *S3) CloseIdleConnections() { s.http.CloseIdleConnections() }
