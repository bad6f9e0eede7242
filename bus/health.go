package bus

import (
	"context"
	"fmt"
)

// healthSubject is where a node is asked how well its sessions are.
func healthSubject(node string) string { return "weir." + nodePrefix + node + ".health" }

// AnswerHealth answers whoever asks this node how well its sessions are, with
// what fn says to the question.
func (b *Bus) AnswerHealth(fn func(question []byte) []byte) error {
	_, err := b.conn.Answer(healthSubject(b.node), fn)
	if err != nil {
		return fmt.Errorf("answer for health: %w", err)
	}
	return nil
}

// AskHealth asks a node how well its sessions are.
func (b *Bus) AskHealth(ctx context.Context, node string, question []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	answer, err := b.conn.Request(ctx, healthSubject(node), question)
	if err != nil {
		return nil, fmt.Errorf("ask %s for health: %w", node, err)
	}
	return answer, nil
}
