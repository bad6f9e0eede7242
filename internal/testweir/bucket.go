//go:build unix

package testweir

import (
	"context"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"weir/internal/versitygw"
)

// Bucket is a real S3 server's, which anybody may read, from any page: what
// stands for a CDN in these tests.
type Bucket struct{ *versitygw.Gateway }

// NewBucket starts a server with flags of versitygw's. The credentials are for
// processes of their own: versitygw.Environ.
func NewBucket(t testing.TB, flags ...string) Bucket {
	t.Helper()
	b := Bucket{versitygw.StartApart(t, flags...)}
	b.Allow(t, Statement{"*", []string{"s3:GetObject"}, "/*"})
	_, err := b.Client().PutBucketCors(t.Context(), &s3.PutBucketCorsInput{
		Bucket: aws.String(versitygw.Bucket),
		CORSConfiguration: &types.CORSConfiguration{CORSRules: []types.CORSRule{{
			AllowedOrigins: []string{"*"}, AllowedMethods: []string{"GET", "HEAD"}, AllowedHeaders: []string{"*"},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Statement is one of a bucket policy: who may do what, below the bucket.
type Statement struct {
	Principal string
	Actions   []string
	Resource  string
}

// Allow gives the bucket a policy.
func (b Bucket) Allow(t testing.TB, statements ...Statement) {
	t.Helper()
	type document map[string]any
	var all []document
	for _, s := range statements {
		all = append(all, document{
			"Effect": "Allow", "Principal": s.Principal, "Action": s.Actions, "Resource": "arn:aws:s3:::" + versitygw.Bucket + s.Resource,
		})
	}
	policy, err := json.Marshal(document{"Version": "2012-10-17", "Statement": all})
	if err != nil {
		t.Fatal(err)
	}
	input := &s3.PutBucketPolicyInput{Bucket: aws.String(versitygw.Bucket), Policy: aws.String(string(policy))}
	if _, err := b.Client().PutBucketPolicy(t.Context(), input); err != nil {
		t.Fatal(err)
	}
}

// Client is the owner's.
func (b Bucket) Client() *s3.Client {
	return s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: &b.URL, UsePathStyle: true,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: versitygw.AccessKey, SecretAccessKey: versitygw.SecretKey}, nil
		}),
	})
}

// Object is where viewers find a key.
func (b Bucket) Object(prefix, key string) string {
	return b.Gateway.URL + "/" + versitygw.Bucket + "/" + prefix + "/" + key
}

// Objects is the directory of a prefix on the server's disk.
func (b Bucket) Objects(prefix, key string) string {
	return filepath.Join(b.Data, versitygw.Bucket, prefix, key)
}
