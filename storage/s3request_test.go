package storage_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/internal/versitygw"
	"weir/media/object"
	"weir/storage"
)

// sink answers each PUT as S3 does, and keeps its request.
func sink(t testing.TB, last *http.Request) *httptest.Server {
	t.Helper()
	versitygw.Environment(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		*last = *r
		w.Header().Set("ETag", `"d41d8cd98f00b204e9800998ecf8427e"`)
	}))
	t.Cleanup(server.Close)
	return server
}

// What a put says to the store, which is what the measurements decided and what
// the stores can do.
func TestS3PutRequest(t *testing.T) {
	segment := object.Object{
		Key: "live/a/1.ts", Body: []byte("123456789"), ContentType: "video/mp2t",
		CacheControl: "public, max-age=31536000, immutable",
	}
	playlist := object.Object{Key: "live/a/index.m3u8", ContentType: "application/vnd.apple.mpegurl", CacheControl: "max-age=1"}
	for _, c := range []struct {
		name, parameters string
		object           object.Object
		condition        object.Condition
		want             map[string]string // "" for a header that is not there
	}{
		{
			name: "default", object: segment,
			want: map[string]string{
				"Content-Type": "video/mp2t", "Cache-Control": segment.CacheControl,
				"X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD", "X-Amz-Storage-Class": "", "X-Amz-Meta-Weir-Write": "",
				// What stores refuse, or are slow at.
				"Content-Encoding": "", "X-Amz-Trailer": "", "Expect": "",
				// The check value of CRC-32/ISO-HDLC is cbf43926.
				"X-Amz-Checksum-Crc32": "y/Q5Jg==", "X-Amz-Sdk-Checksum-Algorithm": "", "If-Match": "", "If-None-Match": "",
			},
		},
		{
			name: "create", object: segment, condition: absent,
			want: map[string]string{"If-None-Match": "*", "If-Match": ""},
		},
		{
			name: "replace", object: playlist, condition: matches(`"e"`),
			want: map[string]string{"If-Match": `"e"`, "If-None-Match": "", "Cache-Control": "max-age=1"},
		},
		{
			name: "no checksum", parameters: "&checksum=false", object: segment,
			want: map[string]string{"X-Amz-Checksum-Crc32": "", "X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD", "X-Amz-Trailer": ""},
		},
		{
			name: "signed", parameters: "&sign-payload=true", object: segment,
			want: map[string]string{"X-Amz-Content-Sha256": "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"},
		},
		{
			name: "encrypted", parameters: "&encryption=aws:kms&kms-key=alias/weir", object: segment,
			want: map[string]string{"X-Amz-Server-Side-Encryption": "aws:kms", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": "alias/weir"},
		},
		{
			name: "class of what stays", parameters: "&storage-class=STANDARD_IA", object: segment,
			want: map[string]string{"X-Amz-Storage-Class": "STANDARD_IA"},
		},
		{
			name: "class of what is overwritten", parameters: "&storage-class=STANDARD_IA", object: playlist,
			want: map[string]string{"X-Amz-Storage-Class": ""}, // each version is billed for 30 days
		},
		{
			name: "tags", parameters: "&tag=weir-keep:7d&tag=team:a%26b", object: playlist,
			want: map[string]string{"X-Amz-Tagging": "team=a%26b&weir-keep=7d"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var last http.Request
			s := openS3(t, "s3://bucket/in/a?endpoint="+sink(t, &last).URL+c.parameters)
			if _, err := s.Put(t.Context(), c.object, c.condition); err != nil {
				t.Fatal(err)
			}
			if want := "/bucket/in/a/" + c.object.Key; last.URL.Path != want {
				t.Errorf("path %s, want %s", last.URL.Path, want)
			}
			if last.ContentLength != int64(len(c.object.Body)) || last.TransferEncoding != nil {
				t.Errorf("content length %d, transfer encoding %q", last.ContentLength, last.TransferEncoding)
			}
			for name, want := range c.want {
				if got := last.Header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if c.condition != always && last.Header.Get("X-Amz-Meta-Weir-Write") == "" {
				t.Error("a conditional write has no number by which its own lost answer is known")
			}
		})
	}
}

// The server keeps what viewers are to be told.
func TestS3KeepsHeaders(t *testing.T) {
	gateway := versitygw.Start(t)
	s := openS3(t, gateway.StoreURL("")+"&tag=weir-keep:7d")
	o := object.Object{Key: "k.ts", Body: []byte("x"), ContentType: "video/mp2t", CacheControl: "public, immutable"}
	if _, err := s.Put(t.Context(), o, absent); err != nil {
		t.Fatal(err)
	}
	h, err := storage.Headers(t.Context(), s, "k.ts")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"Content-Type": o.ContentType, "Cache-Control": o.CacheControl, "tag weir-keep": "7d"}
	if !maps.Equal(h, want) {
		t.Errorf("headers and tags %v, want %v", h, want)
	}
}

func TestS3VirtualHosts(t *testing.T) {
	gateway := versitygw.Start(t, "--virtual-domain", "s3.test")
	s := openS3(t, "s3://"+versitygw.Bucket+"/p?path-style=false&endpoint=http://s3.test")
	storage.DialTo(s, strings.TrimPrefix(gateway.URL, "http://"))
	put(t, s, "k", "x", absent)
	wantBody(t, s, "k", "x")
	wantBody(t, openS3(t, gateway.StoreURL("p")), "k", "x")
}

// Over TLS, to a server whose authority only AWS_CA_BUNDLE names.
func TestS3TLS(t *testing.T) {
	cert, key := certify(t)
	gateway := versitygw.Start(t, "--cert", cert, "--key", key)
	t.Setenv("AWS_CA_BUNDLE", cert)
	s := openS3(t, strings.Replace(gateway.StoreURL("p"), "http:", "https:", 1))
	put(t, s, "k", "x", absent)
	_, err := s.Put(t.Context(), object.Object{Key: "k"}, absent)
	wantError(t, "put over an object", err, object.ErrPrecondition)
	wantBody(t, s, "k", "x")
}

// certify makes a certificate for 127.0.0.1 that is its own authority.
func certify(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "weir test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der},
		keyFile:  {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}
