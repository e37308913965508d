// Runs parts of Argo Events as processes that a test can start and read: the client of a generic
// event source, a whole Sensor, and a reader of the event bus. The rest of Argo Events is run as it
// is, from the same module (see go.mod, "tool").
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"go.uber.org/zap"

	"github.com/argoproj/argo-events/pkg/shared/logging"
)

const usage = `usage: argo listen EVENTSOURCE EVENT  print what the client of spec.generic.EVENT dispatches, a line each
       argo sensor SENSOR BUS API     run a Sensor on a bus; what it creates goes to a Kubernetes API
       argo bus URL                   print the messages of a bus from the first on, a line each

EVENTSOURCE, SENSOR and BUS are JSON files of an EventSource, a Sensor and a BusConfig; URL and API are addresses.
The log goes to standard error.`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	// A signal ends the process at once, as it ends a pod after its grace period.
	ctx, err := withLog(context.Background())
	if err != nil {
		return err
	}
	switch {
	case len(args) == 3 && args[0] == "listen":
		return listen(ctx, args[1], args[2])
	case len(args) == 4 && args[0] == "sensor":
		return sensor(ctx, args[1], args[2], args[3])
	case len(args) == 2 && args[0] == "bus":
		return readBus(ctx, args[1])
	}
	return fmt.Errorf("%s", usage)
}

// withLog returns a context with the logger of Argo Events, on standard error.
func withLog(ctx context.Context) (context.Context, error) {
	config := logging.ConfigureLogLevelLogger(logging.InfoLevel)
	config.Sampling = nil
	config.OutputPaths = []string{"stderr"}
	logger, err := config.Build()
	if err != nil {
		return nil, fmt.Errorf("build the logger: %w", err)
	}
	zap.ReplaceGlobals(logger)
	return logging.WithLogger(ctx, logger.Sugar()), nil
}

// readObject decodes a JSON file.
func readObject(path string, object any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the object: %w", err)
	}
	if err := json.Unmarshal(text, object); err != nil {
		return fmt.Errorf("decode %s: %w", path, err)
	}
	return nil
}
