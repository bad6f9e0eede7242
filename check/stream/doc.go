// Package stream takes a media segment apart, a transport stream above all, and
// checks what holds for its bytes alone [RFC 8216bis 3, ISO/IEC 13818-1].
package stream
