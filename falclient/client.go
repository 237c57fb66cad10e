package falclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// DefaultQueueURL and BackupQueueURL are fal's queue and the host that its
	// newest clients fall back to when no connection to the first one can be
	// made (fal's documents, "Backup domains").
	DefaultQueueURL = "https://queue.fal.run"
	BackupQueueURL  = "https://queue.falrun.com"

	maxBody      = 32 << 20
	maxStatus    = 4 << 20
	maxErrorBody = 64 << 10

	// connectTimeout is what fal's Python client allows on hosts with a backup.
	connectTimeout = 5 * time.Second
	// answerTimeout bounds one request, from the connection to the last byte.
	answerTimeout = 30 * time.Second
	// resultTimeout is longer because a result can be 32 MiB on a slow line.
	resultTimeout = 120 * time.Second
)

// Config says where fal is and who asks. The zero value of each field but Key
// is a usable default.
type Config struct {
	// Key is sent as "Authorization: Key …". Without one the client can be made,
	// and each call returns ErrNoKey.
	Key string
	// QueueURL is the base URL of the queue: https, or http on loopback.
	QueueURL string
	// BackupURL is tried once when no connection to QueueURL can be made. Empty
	// means BackupQueueURL where QueueURL is fal's own, and none elsewhere.
	BackupURL string
	// PlatformURL is the base URL of the platform API, under QueueURL's rule.
	// Empty means DefaultPlatformURL where QueueURL is fal's own, and elsewhere
	// none: Requests and Prices then return ErrNoPlatform.
	PlatformURL string
	// RESTURL is the base URL of the upload API, under QueueURL's rule. Empty
	// means DefaultRESTURL where QueueURL is fal's own, and elsewhere none:
	// Upload and UploadStream then return ErrNoStorage.
	RESTURL string
	// Observe, unless nil, is told of each request but those of streams and of Reach: what it
	// was for, as errors name it, whether fal said ok, refused it (4xx) or failed,
	// and whether it was a retry. It must return soon.
	Observe func(op, outcome string, retry bool)
	// UserAgent names the program to fal.
	UserAgent string
	// Transport replaces the client's own transports, for tests. Redirects and
	// body limits are the client's business whatever the transport does.
	Transport http.RoundTripper
}

// Client calls fal's queue, its storage and its platform API. It is safe for
// concurrent use. Close ends what it still does in the background.
type Client struct {
	key       string
	clean     cleaner
	userAgent string
	hosts     []*url.URL // the configured host, then its backup where there is one
	platform  *url.URL   // nil for none
	rest      *url.URL   // nil for none
	transport http.RoundTripper
	uploads   http.RoundTripper // to presigned URLs
	retries   *rate.Limiter
	plain     http.Header // shared by requests; never changed
	stream    http.Header
	posting   http.Header
	putLimit  int64 // the largest upload that is one PUT
	partSize  int64
	observe   func(op, outcome string, retry bool)

	life context.Context
	end  context.CancelFunc
	mu   sync.Mutex // guards wg.Go against Close
	wg   sync.WaitGroup
}

// New checks the configuration and makes a client. It opens no connection.
func New(cfg Config) (*Client, error) {
	if cfg.QueueURL == "" {
		cfg.QueueURL = DefaultQueueURL
	}
	primary, err := baseURL(cfg.QueueURL)
	if err != nil {
		return nil, fmt.Errorf("queue URL: %w", err)
	}
	hosts := []*url.URL{primary}
	if cfg.BackupURL == "" && primary.String() == DefaultQueueURL {
		cfg.BackupURL = BackupQueueURL
	}
	if cfg.BackupURL != "" {
		backup, err := baseURL(cfg.BackupURL)
		if err != nil {
			return nil, fmt.Errorf("backup URL: %w", err)
		}
		hosts = append(hosts, backup)
	}
	platform, err := sideURL(cfg.PlatformURL, DefaultPlatformURL, primary)
	if err != nil {
		return nil, fmt.Errorf("platform URL: %w", err)
	}
	rest, err := sideURL(cfg.RESTURL, DefaultRESTURL, primary)
	if err != nil {
		return nil, fmt.Errorf("REST URL: %w", err)
	}
	key := strings.TrimSpace(cfg.Key)
	if strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the fal key holds a space, a control character or a character beyond ASCII")
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "nemotron-mcp-falclient (go)"
	}
	if cfg.Observe == nil {
		cfg.Observe = func(string, string, bool) {}
	}
	uploads := cfg.Transport
	if cfg.Transport == nil {
		cfg.Transport, uploads = newTransport(), newUploadTransport()
	}
	c := &Client{
		key: key, clean: newCleaner(key, ""), userAgent: cfg.UserAgent,
		hosts: hosts, platform: platform, rest: rest, transport: cfg.Transport, uploads: uploads,
		putLimit: putLimit, partSize: partSize, observe: cfg.Observe,
		// 50 retries at once and 10 a second after that, for all jobs together.
		retries: rate.NewLimiter(10, 50),
	}
	c.plain, c.stream = c.standardHeader("application/json"), c.standardHeader("text/event-stream")
	c.posting = c.standardHeader("application/json")
	c.posting.Set("Content-Type", "application/json")
	c.life, c.end = context.WithCancel(context.Background())
	return c, nil
}

// Close ends background work, waits for it, and closes idle connections.
// Calls in flight are left to their contexts.
func (c *Client) Close() {
	c.mu.Lock()
	c.end()
	c.mu.Unlock()
	c.wg.Wait()
	for _, t := range []http.RoundTripper{c.transport, c.uploads} {
		if t, ok := t.(interface{ CloseIdleConnections() }); ok {
			t.CloseIdleConnections()
		}
	}
}

// background runs f, which must end when c.life does. It reports false, and
// runs nothing, after Close.
func (c *Client) background(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.Err() != nil {
		return false
	}
	c.wg.Go(f)
	return true
}

// newTransport offers HTTP/2, on which many jobs share few connections. The
// idle pool fits the calls that may be in flight, for hosts that speak
// HTTP/1.1 only: Go's default of 2 idle connections reconnects every eighth job.
func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    connectTimeout,
		MaxIdleConns:           2048,
		MaxIdleConnsPerHost:    1024,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		// Half of Go's default: a thousand jobs hold a thousand streams open, and
		// what they carry is short.
		WriteBufferSize: 2 << 10,
		ReadBufferSize:  2 << 10,
		HTTP2:           &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 10 * time.Second},
	}
}

// newUploadTransport gives parts that are sent at once connections of their own:
// on HTTP/2 they would share one, and its window.
func newUploadTransport() *http.Transport {
	t := newTransport()
	t.ForceAttemptHTTP2, t.HTTP2 = false, nil
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true)
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 64, 16
	// What is written at once, and what a TLS record is cut from.
	t.WriteBufferSize = uploadWrite
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return buffered{conn}, nil
	}
	return t
}

// uploadWrite is how much of an upload is handed to the network at once.
const uploadWrite = 256 << 10

// buffered hides a connection's ReadFrom, which goes around net/http's buffer
// and writes 32 KiB at once.
type buffered struct{ net.Conn }

// sideURL reads the base URL of an API beside the queue; nil for none.
func sideURL(raw, fals string, queue *url.URL) (*url.URL, error) {
	if raw == "" && queue.String() == DefaultQueueURL {
		raw = fals
	}
	if raw == "" {
		return nil, nil
	}
	return baseURL(raw)
}

// baseURL accepts https, and http on loopback only, because the key travels
// with each request.
func baseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	if u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return nil, errors.New("must be scheme, host and, if need be, a path; no user, query or fragment")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return nil, errors.New("must be https, or http on a loopback address")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return u, nil
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// call is one request to be made, on whichever host.
type call struct {
	op     string
	method string
	path   string      // below the base URL, with its query
	header http.Header // of standardHeader's making
	body   []byte      // nil for none
	clean  cleaner
}

// standardHeader is what every request carries. A RoundTripper does not change
// the header it is given, so requests may share one.
func (c *Client) standardHeader(accept string) http.Header {
	return http.Header{
		"Authorization": {"Key " + c.key},
		"User-Agent":    {c.userAgent},
		"Accept":        {accept},
	}
}

// send makes one request to one host. An error is a *ConnectError exactly
// where no byte of the request can have left.
func (c *Client) send(ctx context.Context, host *url.URL, r call, t *transit) (*http.Response, error) {
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: t.gotConn})
	req, err := http.NewRequestWithContext(ctx, r.method, host.String()+r.path, nil)
	if err != nil {
		return nil, fmt.Errorf("fal %s: %w", r.op, err)
	}
	if r.body != nil {
		t.plain = host.Scheme == "http"
		req.Body, req.ContentLength = t.body(r.body), int64(len(r.body))
		req.GetBody = func() (io.ReadCloser, error) { return t.body(r.body), t.rewound() }
	}
	req.Header = r.header
	// RoundTrip, not Client.Do: it follows no redirect and puts no URL, which
	// can hold a webhook's secret, into its errors.
	resp, err := c.transport.RoundTrip(req)
	if err == nil {
		return resp, nil
	}
	if !t.hasConnected() {
		return nil, &ConnectError{Op: r.op, Host: host.Host, Err: r.clean.error(err)}
	}
	return nil, r.clean.error(err)
}

// sendAnywhere tries the backup host once when no connection to the first can
// be made, and then reports the first one's error.
func (c *Client) sendAnywhere(ctx context.Context, r call) (*http.Response, error) {
	resp, err := c.send(ctx, c.hosts[0], r, new(transit))
	var unreached *ConnectError
	if err == nil || len(c.hosts) < 2 || !errors.As(err, &unreached) || ctx.Err() != nil {
		return resp, err
	}
	resp, second := c.send(ctx, c.hosts[1], r, new(transit))
	if second == nil {
		return resp, nil
	}
	if errors.As(second, new(*ConnectError)) {
		return nil, err
	}
	return nil, second
}

// readBody reads at most limit bytes, after decompression, and closes the body.
func readBody(clean cleaner, resp *http.Response, limit int64) ([]byte, error) {
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, clean.error(err)
	}
	if int64(len(b)) > limit {
		return nil, ErrTooLarge
	}
	return b, nil
}
