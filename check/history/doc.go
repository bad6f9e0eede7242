// Package history compares the versions of one live playlist [RFC 8216bis 6.2.1,
// 6.2.2]: what may change from one to the next, and how soon it must.
package history
