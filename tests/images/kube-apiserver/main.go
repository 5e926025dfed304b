// Command kube-apiserver is the API server of the k8s.io/kubernetes module, unchanged.
//
// The Kubernetes module cannot be installed with "go install" because it replaces its staging modules with
// directories of its own repository. This module requires it and replaces them with their published versions.
package main

import (
	"os"
	_ "time/tzdata" // time zones without files, for CronJob validation

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	os.Exit(cli.Run(app.NewAPIServerCommand()))
}
