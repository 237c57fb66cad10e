package transport

import (
	"bufio"
	"context"
	"io"
	"os"
	"strconv"
	"testing"
)

// BenchmarkEcho is calls of a tool that does nothing, over pipes of the
// operating system as a host has them.
func BenchmarkEcho(b *testing.B) {
	for name, serve := range map[string]serveFunc{"ours": serveOurs(Stdio{}), "mcp-go": serveReference} {
		for _, inFlight := range []int{1, 64} {
			b.Run(name+"/"+strconv.Itoa(inFlight), func(b *testing.B) { echo(b, serve, inFlight) })
		}
	}
}

func echo(b *testing.B, serve serveFunc, inFlight int) {
	inR, inW, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = serve(context.Background(), newFixture().server, inR, outW)
	}()
	defer func() {
		inW.Close()
		go io.Copy(io.Discard, outR)
		<-served
		outR.Close()
		outW.Close()
		inR.Close()
	}()

	answers := bufio.NewReader(outR)
	var line []byte
	b.ReportAllocs()
	b.ResetTimer()
	for sent, got := 0, 0; got < b.N; {
		if sent < b.N && sent-got < inFlight {
			line = append(line[:0], `{"jsonrpc":"2.0","id":`...)
			line = strconv.AppendInt(line, int64(sent), 10)
			line = append(line, `,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hello"}}}`+"\n"...)
			if _, err := inW.Write(line); err != nil {
				b.Fatal(err)
			}
			sent++
			continue
		}
		if _, err := answers.ReadSlice('\n'); err != nil {
			b.Fatal(err)
		}
		got++
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}
