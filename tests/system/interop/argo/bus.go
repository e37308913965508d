package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/argoproj/argo-events/pkg/apis/events/v1alpha1"
)

const pollInterval = 100 * time.Millisecond

// message is a line of readBus: a subject, and a CloudEvent.
type message struct {
	Subject string          `json:"subject"`
	Event   json.RawMessage `json:"event"`
}

// readBus prints all messages of the bus, from the first on, for ever.
func readBus(ctx context.Context, url string) error {
	// Argo Events does not verify the bus, either.
	connection, err := nats.Connect(url, nats.Secure(&tls.Config{InsecureSkipVerify: true}))
	if err != nil {
		return fmt.Errorf("connect to %s: %w", url, err)
	}
	defer connection.Close()
	stream, err := connection.JetStream()
	if err != nil {
		return fmt.Errorf("use JetStream of %s: %w", url, err)
	}
	// The first EventSource or Sensor makes the stream.
	for {
		if _, err := stream.StreamInfo(v1alpha1.JetStreamStreamName, nats.Context(ctx)); err == nil {
			break
		}
		time.Sleep(pollInterval)
	}
	out := json.NewEncoder(os.Stdout)
	failed := make(chan error)
	print := func(received *nats.Msg) {
		if err := out.Encode(message{received.Subject, received.Data}); err != nil {
			failed <- err
		}
	}
	_, err = stream.Subscribe(v1alpha1.JetStreamStreamName+".>", print, nats.OrderedConsumer())
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", url, err)
	}
	return <-failed
}
