package main

import (
	"context"
	"fmt"
	"io"
)

func (c *healthCmd) Run(ctx context.Context, stdout io.Writer) error {
	client, err := c.client("")
	if err != nil {
		return err
	}
	if err := client.Ready(ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintln(stdout, "ready")
	return err
}
