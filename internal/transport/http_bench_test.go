package transport

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/server"
	"github.com/rs/zerolog"
)

// BenchmarkHTTP compares calls a second with those of mcp-go's own handler for the
// same tool, in turn, with 64 clients. The goal of the ratio is 0.8.
func BenchmarkHTTP(b *testing.B) {
	const clients, batch = 64, 2000
	ours := serveWeb(b, HTTP{Log: zerolog.New(io.Discard)})
	theirs := httptest.NewServer(server.NewStreamableHTTPServer(newFixture().server, server.WithStateful(true)))
	defer theirs.Close()
	transport := &http.Transport{MaxIdleConnsPerHost: 2 * clients}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	session := func(url string) string {
		res, err := post(client, url, "", initialize)
		if err != nil {
			b.Fatal(err)
		}
		return res
	}
	one, other := session(ours.url+"/mcp"), session(theirs.URL+"/mcp")
	run := func(url, session string) time.Duration {
		began := time.Now()
		var all sync.WaitGroup
		ids := make(chan string, batch)
		for i := range batch {
			ids <- string(rune('a'+i%26)) + time.Duration(i).String()
		}
		close(ids)
		for range clients {
			all.Go(func() {
				for id := range ids {
					if _, err := post(client, url, session, call(`"`+id+`"`, "echo", `{"text":"hello"}`)); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
		return time.Since(began)
	}
	var ratios, rates []float64
	for b.Loop() {
		t, o := run(theirs.URL+"/mcp", other), run(ours.url+"/mcp", one)
		ratios = append(ratios, t.Seconds()/o.Seconds())
		rates = append(rates, batch/o.Seconds())
	}
	slices.Sort(ratios)
	slices.Sort(rates)
	b.ReportMetric(ratios[len(ratios)/2], "ratio-to-mcp-go")
	b.ReportMetric(rates[len(rates)/2], "calls/s")
	b.ReportMetric(0, "ns/op")
}

// post sends a message and returns the session that came with the answer.
func post(client *http.Client, url, session, message string) (string, error) {
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(message))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	if session != "" {
		req.Header.Set("Mcp-Session-Id", session)
	}
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		return "", io.ErrUnexpectedEOF
	}
	return res.Header.Get("Mcp-Session-Id"), nil
}
