package amf_test

import (
	"fmt"

	"weir/rtmp/amf"
)

// A command's values, there and back.
func Example() {
	p := amf.Append(nil, amf.String("connect"), amf.Number(1), amf.Object{
		{Name: "app", Value: amf.String("live")},
	})
	values, err := amf.DecodeAll(p)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(values[0], values[1], amf.PropertiesOf(values[2]).Get("app"))
	// Output: connect 1 live
}
