package files

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	maxRedirects = 5
	dialTimeout  = 10 * time.Second
	headTimeout  = 30 * time.Second // from the start to the last answer's header
	idleTimeout  = 30 * time.Second // between two reads that bring something
)

// A Fetcher gets files from public http and https URLs. It sends no cookie, no
// credentials and no referrer, uses no proxy, and dials no private or reserved
// address and no port but 80 and 443, on every hop. It is safe for concurrent
// use and holds nothing open between calls.
type Fetcher struct {
	agent  string
	hooks  hooks
	client *http.Client
}

// hooks are what tests replace to reach a server of their own.
type hooks struct {
	reachable func(netip.AddrPort) bool // dialled although it is not public
	local     func(*url.URL) bool       // what URLs need no check
	resolver  *net.Resolver
	tls       *tls.Config
	head      time.Duration
	idle      time.Duration
}

// NewFetcher returns a Fetcher that calls itself by the given name.
func NewFetcher(userAgent string) *Fetcher { return newFetcher(userAgent, hooks{}) }

func newFetcher(userAgent string, h hooks) *Fetcher {
	if h.head == 0 {
		h.head = headTimeout
	}
	if h.idle == 0 {
		h.idle = idleTimeout
	}
	f := &Fetcher{agent: userAgent, hooks: h}
	dialer := &net.Dialer{Timeout: dialTimeout, Resolver: h.resolver, Control: f.control}
	f.client = &http.Client{
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			TLSClientConfig:        h.tls,
			TLSHandshakeTimeout:    dialTimeout,
			MaxResponseHeaderBytes: 64 << 10,
			DisableKeepAlives:      true,
			DisableCompression:     true,
		},
		CheckRedirect: f.redirect,
	}
	return f
}

var errPrivate = errors.New("private address")

// control is asked after name resolution, for each address, before the socket
// connects: a name that changes between look-ups can't get around it.
func (f *Fetcher) control(_, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return errPrivate
	}
	if f.hooks.reachable != nil && f.hooks.reachable(target) {
		return nil
	}
	if target.Addr().Zone() != "" || !dialable(target.Addr(), target.Port()) {
		return errPrivate
	}
	return nil
}

func (f *Fetcher) local(u *url.URL) bool { return u != nil && f.hooks.local != nil && f.hooks.local(u) }

func (f *Fetcher) redirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return invalid(actURL, "the URL redirects more than %d times", maxRedirects)
	}
	if via[len(via)-1].URL.Scheme == "https" && req.URL.Scheme == "http" {
		return notAllowed(actURL, "the URL redirects from https to http")
	}
	req.Header.Del("Referer") // the URL before may hold a secret
	if fault := checkParsed(req.URL); fault != nil && !f.local(req.URL) {
		return fault
	}
	return nil
}

// A Download is a file that is being fetched. The caller closes Body.
type Download struct {
	// Body gives the file; its errors are the context's or an *Error. It ends
	// with an *Error at the size limit, after 30 s without a byte, and where the
	// server sends less than it announced.
	Body        io.ReadCloser
	Size        int64  // bytes, -1 where the server does not tell
	ContentType string // as the server claims it
	Name        string // plain, see PlainName
}

// Fetch gets a file of at most limit bytes. An error is the context's or an
// *Error, which names the host and nothing else of the URL.
func (f *Fetcher) Fetch(ctx context.Context, rawURL string, limit int64) (*Download, error) {
	u, fault := checkURL(rawURL)
	if fault != nil && !f.local(u) {
		return nil, fault
	}
	inner, cancel := context.WithCancel(ctx)
	b := &body{outer: ctx, cancel: cancel, idle: f.hooks.idle, left: limit, limit: limit, host: Visible(u.Hostname())}
	b.watch = time.AfterFunc(f.hooks.head, b.giveUp)
	req, err := http.NewRequestWithContext(inner, http.MethodGet, u.String(), nil)
	if err != nil {
		_ = b.Close()
		return nil, invalid(actURL, "the URL is malformed")
	}
	req.Header.Set("User-Agent", f.agent)
	req.Header.Set("Accept-Encoding", "identity")
	res, err := f.client.Do(req)
	if err != nil {
		_ = b.Close()
		return nil, b.explain(err)
	}
	b.rc = res.Body
	if fault := acceptable(res, b.host, limit); fault != nil {
		_ = b.Close()
		return nil, fault
	}
	b.watch.Reset(f.hooks.idle)
	return &Download{Body: b, Size: res.ContentLength, ContentType: res.Header.Get("Content-Type"), Name: nameOf(res)}, nil
}

func acceptable(res *http.Response, host string, limit int64) *Error {
	switch encoding := res.Header.Get("Content-Encoding"); {
	case res.StatusCode != http.StatusOK:
		return invalid("Check that the URL is right and open to everybody.", `"%s" answered with status %d`, host, res.StatusCode)
	case encoding != "" && encoding != "identity":
		return invalid(actURL, `"%s" sends the file compressed although it was asked not to`, host)
	case res.ContentLength > limit:
		return invalid("Name a smaller file.", "the file has %d bytes; the limit is %d", res.ContentLength, limit)
	}
	return nil
}

// nameOf is the name that the server gives, or the last part of the final URL.
func nameOf(res *http.Response) string {
	if _, params, err := mime.ParseMediaType(res.Header.Get("Content-Disposition")); err == nil && params["filename"] != "" {
		return PlainName(params["filename"])
	}
	return PlainName(path.Base(res.Request.URL.Path))
}

// A body ends a download that stalls or grows too large.
type body struct {
	rc      io.ReadCloser
	outer   context.Context
	cancel  context.CancelFunc
	watch   *time.Timer
	idle    time.Duration
	stalled atomic.Bool
	left    int64
	limit   int64
	host    string
}

func (b *body) giveUp() {
	b.stalled.Store(true)
	b.cancel()
}

func (b *body) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, b.tooLarge()
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1] // one more tells a file at the limit from one beyond
	}
	n, err := b.rc.Read(p)
	if n > 0 {
		b.watch.Reset(b.idle)
	}
	if b.left -= int64(n); b.left < 0 {
		return n - 1, b.tooLarge()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.explain(err)
	}
	return n, err
}

func (b *body) tooLarge() *Error {
	return invalid("Name a smaller file.", "the file is larger than the limit of %d bytes", b.limit)
}

// Close ends the download.
func (b *body) Close() error {
	b.watch.Stop()
	b.cancel()
	if b.rc == nil {
		return nil
	}
	return b.rc.Close()
}

// explain turns a failure into an *Error without the URL and without what the
// network inside looks like.
func (b *body) explain(err error) error {
	if ended := b.outer.Err(); ended != nil {
		return ended
	}
	var fault *Error
	var dns *net.DNSError
	var untrusted *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &fault):
		return fault
	case errors.Is(err, errPrivate):
		return privateHost(b.host)
	case b.stalled.Load(), errors.Is(err, context.DeadlineExceeded):
		return invalid("Try again later.", `"%s" was silent for too long`, b.host)
	case errors.As(err, &dns):
		return invalid(actURL, `the host "%s", or one that it redirects to, is not found`, b.host)
	case errors.As(err, &untrusted), errors.As(err, &unknown):
		return invalid(actURL, `"%s" has no valid certificate`, b.host)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return invalid("Try again.", `"%s" ended the download before its end`, b.host)
	}
	return invalid("Try again later.", `"%s" can't be reached, or broke off`, b.host)
}
