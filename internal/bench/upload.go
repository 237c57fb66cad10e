package main

import (
	"bufio"
	"context"
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

	"nemotron-mcp/falclient"
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
		o, kib, err := uploadOnce(url, file)
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

// uploadOnce returns how long an upload took in a process of its own, and its
// peak memory above idle in KiB, 0 where the system does not tell.
func uploadOnce(url, file string) (took time.Duration, kib float64, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, 0, err
	}
	cmd := exec.Command(self, "upload-client")
	cmd.Env = append(environ(), "FAL_REST_URL="+url)
	cmd.Stdin, cmd.Stderr = strings.NewReader(file+"\n"), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, 0, err
	}
	var told clientReport
	if err := json.Unmarshal(out, &told); err != nil {
		return 0, 0, err
	}
	return told.Took, told.PeakKiB - told.IdleKiB, nil
}

type clientReport struct {
	Took             time.Duration
	IdleKiB, PeakKiB float64
}

// uploadClient is a mode of this program: it uploads the file whose name it
// reads, and reports.
func uploadClient(in io.Reader, out io.Writer, restURL string) error {
	client, err := falclient.New(falclient.Config{Key: "bench-key-0123456789", QueueURL: restURL, RESTURL: restURL})
	if err != nil {
		return err
	}
	defer client.Close()
	name, err := bufio.NewReader(in).ReadString('\n')
	if err != nil {
		return err
	}
	f, err := os.Open(strings.TrimSuffix(name, "\n"))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	report := clientReport{IdleKiB: ownMemory("VmRSS:")}
	began := time.Now()
	done, err := client.Upload(context.Background(), falclient.UploadSource{Reader: f, Size: info.Size()},
		falclient.UploadOptions{FileName: "bench.bin", Progress: func(int64) {}})
	if err != nil {
		return err
	}
	report.Took, report.PeakKiB = time.Since(began), ownMemory("VmHWM:")
	if done.SHA256 == "" {
		return errors.New("no sum")
	}
	return json.NewEncoder(out).Encode(report)
}

// ownMemory reads a figure in KiB of this process, 0 where there is no /proc.
func ownMemory(field string) float64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	return statusField(string(b), field)
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
