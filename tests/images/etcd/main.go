// Command etcd is the server of the go.etcd.io/etcd/server/v3 module, unchanged.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
