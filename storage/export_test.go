package storage

import (
	"context"
	"net"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

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

// DialTo makes s connect to address, whatever host it means.
func DialTo(s *S3, address string) {
	s.http.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}

// SetPageSize makes lists come in pages of n objects.
func SetPageSize(s *S3, n int32) { s.pageSize = n }

// Headers returns the headers and tags that s keeps with an object.
func Headers(ctx context.Context, s *S3, key string) (map[string]string, error) {
	h, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.config.Bucket, Key: aws.String(s.prefix + key)})
	if err != nil {
		return nil, err
	}
	all := map[string]string{"Content-Type": aws.ToString(h.ContentType), "Cache-Control": aws.ToString(h.CacheControl)}
	t, err := s.client.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: &s.config.Bucket, Key: aws.String(s.prefix + key)})
	if err != nil {
		return nil, err
	}
	for _, tag := range t.TagSet {
		all["tag "+aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	return all, nil
}

// OpenToAll lets everybody read the bucket of s, from any page.
func OpenToAll(ctx context.Context, s *S3) error {
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::` + s.config.Bucket + `/*"}]}`
	_, err := s.client.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: &s.config.Bucket, Policy: &policy})
	if err != nil {
		return err
	}
	_, err = s.client.PutBucketCors(ctx, &s3.PutBucketCorsInput{
		Bucket: &s.config.Bucket,
		CORSConfiguration: &types.CORSConfiguration{CORSRules: []types.CORSRule{{
			AllowedOrigins: []string{"*"}, AllowedMethods: []string{"GET", "HEAD"}, AllowedHeaders: []string{"*"},
		}}},
	})
	return err
}
