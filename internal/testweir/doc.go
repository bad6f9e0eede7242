// Package testweir runs weir as its users do, for end-to-end tests: the real
// binary in processes of its own, with a real NATS server and real encoders
// beside it, and viewers that hold against it whatever no viewer may see.
//
// Only tests import it. The tests themselves are in internal/e2e, a package for
// each subject, so that they run side by side. A package's TestMain is
//
//	func TestMain(m *testing.M) { testweir.Main(m) }
//
// Whatever it starts ends with the test that started it.
package testweir
