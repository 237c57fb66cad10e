package falclient_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"nemotron-mcp/falclient"
)

// One generation, from the submission to the answer.
func Example() {
	const id = "764cabcf-b745-4b3e-ae38-1200304cf45b"
	mux := http.NewServeMux()
	mux.HandleFunc("POST /nvidia/nemotron-3-nano-omni", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"request_id":"`+id+`","queue_position":0}`)
	})
	mux.HandleFunc("GET /nvidia/nemotron-3-nano-omni/requests/"+id+"/status/stream", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: {\"status\":\"IN_PROGRESS\"}\n\ndata: {\"status\":\"COMPLETED\"}\n\n")
	})
	mux.HandleFunc("GET /nvidia/nemotron-3-nano-omni/requests/"+id, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"output":"Paris","finish_reason":"stop","usage":{"input_tokens":9,"output_tokens":1}}`)
	})
	fal := httptest.NewServer(mux)
	defer fal.Close()

	// Leave QueueURL out to reach fal itself.
	client, err := falclient.New(falclient.Config{Key: "key-id:key-secret", QueueURL: fal.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	ctx := context.Background()

	endpoint, err := falclient.ParseEndpoint(falclient.Nemotron)
	if err != nil {
		fmt.Println(err)
		return
	}
	input := falclient.NemotronInput{Prompt: "The capital of France, in one word?"}
	sub, err := client.Submit(ctx, endpoint, input, falclient.SubmitOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := client.Watch(ctx, endpoint, sub.RequestID, func(st falclient.Status) { fmt.Println(st.State) }); err != nil {
		fmt.Println(err)
		return
	}
	res, err := client.Result(ctx, endpoint, sub.RequestID)
	if err != nil {
		fmt.Println(err)
		return
	}
	out, err := falclient.ParseNemotron(res)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(out.Output, out.Usage.InputTokens+out.Usage.OutputTokens, "tokens")
	// Output:
	// IN_PROGRESS
	// Paris 10 tokens
}
