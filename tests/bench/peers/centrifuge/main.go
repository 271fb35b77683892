// A server of the same protocol on the library that defined it: the peer that fan-out is held
// against. It takes any token, lets anybody subscribe, keeps a history as ours does, and publishes
// what the RPC method "publish" is given.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/centrifugal/centrifuge"
)

const (
	historySize = 300
	historyTTL  = time.Minute
)

type note struct {
	Channel string          `json:"channel"`
	Data    json.RawMessage `json:"data"`
}

func main() {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		log.Fatal(err)
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{UserID: "bench"}}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, answer centrifuge.SubscribeCallback) {
			answer(centrifuge.SubscribeReply{
				Options: centrifuge.SubscribeOptions{EnableRecovery: true},
			}, nil)
		})
		client.OnRPC(func(event centrifuge.RPCEvent, answer centrifuge.RPCCallback) {
			var asked note
			if err := json.Unmarshal(event.Data, &asked); err != nil {
				answer(centrifuge.RPCReply{}, centrifuge.ErrorBadRequest)
				return
			}
			_, err := node.Publish(asked.Channel, asked.Data, centrifuge.WithHistory(historySize, historyTTL))
			answer(centrifuge.RPCReply{Data: []byte(`{}`)}, err)
		})
	})
	if err := node.Run(); err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{}))
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(http.Serve(listener, nil))
}
