package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// baselines are the programs that the server is compared with, and one that
// uploads, each a mode of this one.
var baselines = map[string]func() error{
	"bare":   func() error { return bare(os.Stdin, os.Stdout, os.Getenv("FAL_QUEUE_URL")) },
	"mcp-go": mcpGo,
}

// mcpGo is mcp-go with one tool on its own stdio server.
func mcpGo() error {
	srv := server.NewMCPServer("mcp-go", "1", server.WithToolCapabilities(false))
	srv.AddTool(mcp.NewTool("echo", mcp.WithString("text")), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText("echo"), nil
	})
	return server.NewStdioServer(srv).Listen(context.Background(), os.Stdin, os.Stdout)
}

// bare is the baseline of a generation: its three HTTP requests behind a bare
// loop of JSON-RPC lines. It checks nothing and promises nothing.
func bare(in io.Reader, out io.Writer, queueURL string) error {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 2048, 1024
	hc := &http.Client{Transport: transport}
	var mu sync.Mutex
	reply := func(id json.RawMessage, result any) {
		line, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": id, "result": result})
		if err != nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		_, _ = out.Write(append(line, '\n'))
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	var wg sync.WaitGroup
	defer wg.Wait()
	for lines.Scan() {
		var msg struct {
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
			Params struct {
				Arguments json.RawMessage `json:"arguments"`
			} `json:"params"`
		}
		if json.Unmarshal(lines.Bytes(), &msg) != nil || msg.ID == nil {
			continue
		}
		if msg.Method != "tools/call" {
			reply(msg.ID, map[string]any{})
			continue
		}
		wg.Go(func() {
			text, err := bareGenerate(hc, queueURL, msg.Params.Arguments)
			if err != nil {
				text = err.Error()
			}
			reply(msg.ID, map[string]any{"content": []any{map[string]any{"type": "text", "text": text}}, "isError": err != nil})
		})
	}
	return lines.Err()
}

const bareApp = "/nvidia/nemotron-3-nano-omni"

func bareGenerate(hc *http.Client, queueURL string, input []byte) (string, error) {
	var submitted struct {
		RequestID string `json:"request_id"`
	}
	if err := bareJSON(hc, http.MethodPost, queueURL+bareApp, input, &submitted); err != nil {
		return "", err
	}
	job := queueURL + bareApp + "/requests/" + submitted.RequestID
	req, err := http.NewRequest(http.MethodGet, job+"/status/stream", nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Key bench")
	resp, err := hc.Do(req)
	if err != nil {
		return "", err
	}
	events := bufio.NewScanner(resp.Body)
	completed := false
	for !completed && events.Scan() {
		data, found := strings.CutPrefix(events.Text(), "data:")
		var status struct {
			Status string `json:"status"`
		}
		completed = found && json.Unmarshal([]byte(data), &status) == nil && status.Status == "COMPLETED"
	}
	go func() {
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}()
	if !completed {
		return "", fmt.Errorf("the stream ended early")
	}
	var result struct {
		Output string `json:"output"`
	}
	err = bareJSON(hc, http.MethodGet, job, nil, &result)
	return result.Output, err
}

func bareJSON(hc *http.Client, method, url string, body []byte, into any) error {
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Key bench")
	resp, err := hc.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}
