package bus
var children = map[string]func(){}
