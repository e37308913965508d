package main

import (
	"context"
	"fmt"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/argoproj/argo-events/pkg/apis/events/v1alpha1"
	"github.com/argoproj/argo-events/pkg/metrics"
	"github.com/argoproj/argo-events/pkg/sensors"
)

// sensor runs a Sensor as `argo-events sensor-service` does, without its metrics, whose fixed port an
// EventSource on the same machine uses.
func sensor(ctx context.Context, path, busPath, api string) error {
	var object v1alpha1.Sensor
	if err := readObject(path, &object); err != nil {
		return err
	}
	var bus v1alpha1.BusConfig
	if err := readObject(busPath, &bus); err != nil {
		return err
	}
	config := &rest.Config{Host: api}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client of %s: %w", api, err)
	}
	dynamicClient, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client of %s: %w", api, err)
	}
	// Only other kinds of buses use the subject.
	running := sensors.NewSensorContext(client, dynamicClient, &object, &bus, "", object.Name, metrics.NewMetrics(object.Namespace))
	return running.Start(ctx)
}
