package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"nemotron-mcp/internal/falsim"
)

const initiatePath = "/storage/upload/initiate?storage_type=fal-cdn-v3"

// upload measures an upload of 1 GiB, in turn with curl's PUT of the same file
// to the same sink, and the peak memory above that of the idle program. The
// first sink takes what loopback gives, which measures processors; the second
// takes 100 MiB/s from each connection, as a long way to it does.
func (b *bench) upload() error {
	b.sim.Reset()
	b.sim.SetScript(falsim.Script{DiscardUploads: true})
	size := int64(1 << 30)
	if b.quick {
		size = 128 << 20
	}
	file := filepath.Join(b.state, "upload")
	if err := sparse(file, size); err != nil {
		return err
	}
	defer os.Remove(file)
	curl, err := exec.LookPath("curl")
	if err != nil {
		fmt.Println("upload: no curl on this machine, so the rate is not compared")
	}
	distant, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	far := &http.Server{Handler: b.sim, ReadHeaderTimeout: time.Minute}
	go func() { _ = far.Serve(slowListener{distant, 100 << 20}) }()
	defer far.Close()
	return errors.Join(
		b.uploadTo("loopback", b.sim.RESTURL(), curl, file, size),
		b.uploadTo("distant", "http://"+distant.Addr().String(), curl, file, size),
	)
}

func (b *bench) uploadTo(sink, url, curl, file string, size int64) error {
	var ours, theirs, ratios, memory []float64
	for range b.times(5) {
		o, kib, err := b.uploadOnce(url, file)
		if err != nil {
			return err
		}
		memory, ours = append(memory, kib/1024), append(ours, mibPerSecond(size, o))
		if curl == "" {
			continue
		}
		t, err := curlOnce(url, curl, file)
		if err != nil {
			return err
		}
		theirs, ratios = append(theirs, mibPerSecond(size, t)), append(ratios, float64(t)/float64(o))
	}
	fmt.Printf("upload of %4d MiB, %-8s median %5.0f MiB/s    curl %5.0f MiB/s   ratio %.2f   (goal 1.20)   peak above idle %.1f MiB (goal 40)\n",
		size>>20, sink, median(ours), median(theirs), median(ratios), percentile(memory, 100))
	if curl != "" {
		warn(atLeast("rate of an upload to the "+sink+" sink, as a ratio to curl's", median(ratios), 1.2, ""))
	}
	warn(atMost("peak memory of an upload", percentile(memory, 100), 40, " MiB"))
	return nil
}

// slowListener takes at most rate bytes a second from each of its connections.
type slowListener struct {
	net.Listener
	rate int64
}

func (l slowListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return &slowConn{Conn: conn, rate: l.rate}, err
}

type slowConn struct {
	net.Conn
	rate int64
	due  time.Time // when the bytes read so far may have come
}

func (c *slowConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if now := time.Now(); c.due.Before(now) {
		c.due = now
	}
	c.due = c.due.Add(time.Duration(n) * time.Second / time.Duration(c.rate))
	// Short pauses take longer than they should.
	if wait := time.Until(c.due); wait > 5*time.Millisecond {
		time.Sleep(wait)
	}
	return n, err
}

func mibPerSecond(size int64, took time.Duration) float64 {
	return float64(size) / (1 << 20) / took.Seconds()
}

// sparse makes a file that takes no room on the disk and is read as any other.
func sparse(name string, size int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Close())
}

// uploadOnce returns how long the server's upload_file takes, and its peak
// memory above idle in KiB, 0 where the system does not tell.
func (b *bench) uploadOnce(url, file string) (took time.Duration, kib float64, err error) {
	p, err := startPeer(b.binary, []string{"serve"}, "FAL_KEY=bench-key-0123456789", "FAL_QUEUE_URL="+url, "FAL_REST_URL="+url,
		"NEMOTRON_MCP_LOG_LEVEL=error", "NEMOTRON_MCP_STORE=memory", "NEMOTRON_MCP_ALLOW_DIR="+filepath.Dir(file))
	if err != nil {
		return 0, 0, err
	}
	defer p.kill()
	if err := p.handshake(); err != nil {
		return 0, 0, err
	}
	if _, err := p.request("tools/list", map[string]any{}); err != nil {
		return 0, 0, err
	}
	idle, began := p.memory("VmRSS:"), time.Now()
	if _, err := p.call("upload_file", map[string]any{"path": file}); err != nil {
		return 0, 0, err
	}
	return time.Since(began), p.memory("VmHWM:") - idle, nil
}

// curlOnce returns how long curl takes for a PUT of the file.
func curlOnce(url, curl, file string) (time.Duration, error) {
	req, err := http.NewRequest(http.MethodPost, url+initiatePath,
		strings.NewReader(`{"content_type":"application/octet-stream","file_name":"bench.bin"}`))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Key bench")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var place struct {
		UploadURL string `json:"upload_url"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&place); err != nil {
		return 0, err
	}
	cmd := exec.Command(curl, "--silent", "--show-error", "--fail", "--noproxy", "*", "--upload-file", file,
		"--output", os.DevNull, "--write-out", "%{time_total}", place.UploadURL)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, err
	}
	seconds, err := strconv.ParseFloat(string(out), 64)
	return time.Duration(seconds * float64(time.Second)), err
}
