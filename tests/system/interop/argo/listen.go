package main

import (
	"bufio"
	"context"
	"fmt"
	"os"

	"github.com/argoproj/argo-events/pkg/apis/events/v1alpha1"
	"github.com/argoproj/argo-events/pkg/eventsources/common"
	"github.com/argoproj/argo-events/pkg/eventsources/sources/generic"
	"github.com/argoproj/argo-events/pkg/metrics"
)

// listen runs the client of one generic event source and prints the data of each dispatched event.
func listen(ctx context.Context, path, event string) error {
	var eventSource v1alpha1.EventSource
	if err := readObject(path, &eventSource); err != nil {
		return err
	}
	source, ok := eventSource.Spec.Generic[event]
	if !ok {
		return fmt.Errorf("%s has no spec.generic.%s", path, event)
	}
	listener := generic.EventListener{
		EventSourceName:    eventSource.Name,
		EventName:          event,
		GenericEventSource: source,
		Metrics:            metrics.NewMetrics(eventSource.Namespace),
	}
	out := bufio.NewWriter(os.Stdout)
	return listener.StartListening(ctx, func(data []byte, _ ...common.Option) error {
		if _, err := out.Write(append(data, '\n')); err != nil {
			return fmt.Errorf("print an event: %w", err)
		}
		// A test that kills this process counts its output.
		return out.Flush()
	})
}
