package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"weir/auth"
	"weir/media/publishing"
)

// keyStore is where stream keys are kept.
type keyStore interface {
	Keys(ctx context.Context) (map[auth.Hash]auth.Rule, error)
	Add(ctx context.Context, h auth.Hash, r auth.Rule) error
	Remove(ctx context.Context, h auth.Hash) error
}

// keyPatience bounds what is done with a store of keys.
const keyPatience = 10 * time.Second

// with calls do with the store that the flags name.
func (f *keyFlags) with(ctx context.Context, log *slog.Logger, do func(context.Context, keyStore) error) error {
	ctx, cancel := context.WithTimeout(ctx, keyPatience)
	defer cancel()
	if f.Keys != keysInNATS {
		return do(ctx, auth.KeyFile{Name: cmp.Or(f.Keys, filepath.Join(f.Data, "keys"))})
	}
	n := natsFlags{natsAddress: f.natsAddress}
	b, err := n.open(ctx, "", log)
	if err != nil {
		return err
	}
	defer closeBus(b, log)
	keys, err := b.StreamKeys(ctx)
	if err != nil {
		return err
	}
	return do(ctx, natsKeys{keys})
}

func (c *keyNewCmd) Run(ctx context.Context, stdout io.Writer, log *slog.Logger) error {
	rule := auth.Rule{Stream: c.Stream, Owner: c.Owner, Conflict: publishing.Conflict(c.Conflict)}
	rule.Limits = publishing.Limits{
		Bitrate: int64(c.MaxBitrate), DurationSeconds: int64(c.MaxDuration / time.Second), Codecs: c.Codecs, Sessions: c.MaxSessions,
	}
	if c.MaxSize != "" {
		var err error
		if rule.Limits.Width, rule.Limits.Height, err = auth.ParseSize(c.MaxSize); err != nil {
			return usagef("--max-size: %v", err)
		}
	}
	if c.For > 0 {
		rule.Until = time.Now().Add(c.For).UTC().Truncate(time.Second)
	}
	grant, err := rule.Grant()
	if err != nil {
		return usagef("key new: %v", err)
	}
	key := cmp.Or(c.Key, auth.NewKey())
	if err := auth.CheckKey(key); err != nil {
		return usagef("--key: %v", err)
	}
	if strings.Contains(c.Stream, key) {
		return usagef("--key: it stands in the stream's name, which everybody sees")
	}
	h := auth.HashKey(key)
	err = c.with(ctx, log, func(ctx context.Context, s keyStore) error {
		all, err := s.Keys(ctx)
		if err != nil {
			return err
		}
		if _, there := all[h]; there {
			return usagef("--key: there is such a key already, %s", h.ID())
		}
		return s.Add(ctx, h, rule)
	})
	if err != nil {
		return err
	}
	server := strings.TrimSuffix(c.Server, "/") + "/" + grant.Stream.App
	_, err = fmt.Fprintf(stdout, `Stream key %s for %s. It is shown this once; only its hash is kept.

  Server       %s
  Stream key   %s

OBS: Settings → Stream → Service: Custom. Elsewhere, in one: %[3]s/%[4]s
To take it back: weir key revoke %[1]s
`, h.ID(), grant.Stream, server, key)
	return err
}

func (c *keyListCmd) Run(ctx context.Context, stdout io.Writer, log *slog.Logger) error {
	return c.with(ctx, log, func(ctx context.Context, s keyStore) error {
		all, err := s.Keys(ctx)
		if err != nil {
			return err
		}
		return printKeys(stdout, sortKeys(all), c.JSON)
	})
}

// listedKey is a row of weir key list.
type listedKey struct {
	ID string `json:"id"`
	auth.Rule
}

func sortKeys(all map[auth.Hash]auth.Rule) []listedKey {
	rows := make([]listedKey, 0, len(all))
	for h, r := range all {
		rows = append(rows, listedKey{h.ID(), r})
	}
	slices.SortFunc(rows, func(a, b listedKey) int {
		return cmp.Or(strings.Compare(a.Stream, b.Stream), strings.Compare(a.ID, b.ID))
	})
	return rows
}

func printKeys(w io.Writer, rows []listedKey, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(map[string][]listedKey{"keys": rows})
	}
	if len(rows) == 0 {
		_, err := fmt.Fprintln(w, "there is no stream key; make one with weir key new live/alice")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tSTREAM\tOWNER\tCONFLICT\tUNTIL\tLIMITS")
	for _, r := range rows {
		until := "-"
		if !r.Until.IsZero() {
			until = r.Until.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, r.Stream, orDash(r.Owner), orDash(string(r.Conflict)), until, orDash(auth.FormatLimits(r.Limits)))
	}
	return table.Flush()
}

func (c *keyRevokeCmd) Run(ctx context.Context, stdout io.Writer, log *slog.Logger) error {
	return c.with(ctx, log, func(ctx context.Context, s keyStore) error {
		all, err := s.Keys(ctx)
		if err != nil {
			return err
		}
		found := false
		for h, r := range all {
			if h.ID() != c.Which && r.Stream != c.Which {
				continue
			}
			if err := s.Remove(ctx, h); err != nil {
				return err
			}
			found = true
			fmt.Fprintf(stdout, "stream key %s for %s is revoked\n", h.ID(), r.Stream)
		}
		if !found {
			return errNoKey
		}
		return nil
	})
}
