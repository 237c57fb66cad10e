package falclient

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Role is what a host is for.
type Role string

// The roles of fal's hosts.
const (
	RoleQueue    Role = "queue"
	RoleBackup   Role = "backup"   // of the queue
	RoleREST     Role = "rest"     // uploads
	RolePlatform Role = "platform" // prices and the history of requests
)

// reachTries is how many requests the latency is the median of. They share the
// first one's connection where the host keeps it.
const reachTries = 3

// Reach is how a host answered.
type Reach struct {
	Role Role
	Host string // with its port where the URL has one
	// First is from the wish to connect to the first answer's header, and Latency
	// the median of the answers' times, that one left out where there are others.
	First, Latency time.Duration
	StatusCode     int // of the last answer; any of them shows that the host is there
	// Date is the host's clock by its last answer, and At ours halfway through that
	// exchange; Date is zero where it did not tell.
	Date, At time.Time
	// Err is nil where at least one answer came. It is a *ConnectError where no
	// connection was made, and matches ctx's error where that ended the wait.
	Err error
}

// Reach asks each configured host for its root, all at once, and tells how they
// answer, in the order queue, backup, rest, platform; hosts that are not
// configured are left out. The requests carry no key, are not repeated, follow no
// redirect and read no body. Each ends with ctx, at the latest after 30 s.
func (c *Client) Reach(ctx context.Context) []Reach {
	var found []Reach
	var bases []*url.URL
	add := func(role Role, base *url.URL) {
		if base != nil {
			found, bases = append(found, Reach{Role: role, Host: base.Host}), append(bases, base)
		}
	}
	add(RoleQueue, c.hosts[0])
	if len(c.hosts) > 1 {
		add(RoleBackup, c.hosts[1])
	}
	add(RoleREST, c.rest)
	add(RolePlatform, c.platform)
	ctx, done := context.WithTimeout(ctx, answerTimeout)
	defer done()
	var asking sync.WaitGroup
	for i := range found {
		asking.Go(func() { c.reach(ctx, bases[i], &found[i]) })
	}
	asking.Wait()
	return found
}

func (c *Client) reach(ctx context.Context, base *url.URL, r *Reach) {
	header := http.Header{"User-Agent": {c.userAgent}, "Accept": {"application/json"}}
	op := "reach " + string(r.Role)
	var times []time.Duration
	for range reachTries {
		began := time.Now()
		resp, err := c.send(ctx, base, call{op: op, method: http.MethodGet, path: "/", header: header, clean: c.clean}, new(transit))
		if err != nil {
			if len(times) == 0 {
				r.Err = err
			}
			break
		}
		took := time.Since(began)
		_ = resp.Body.Close()
		times = append(times, took)
		r.StatusCode = resp.StatusCode
		if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
			r.Date, r.At = date, began.Add(took/2)
		}
	}
	switch len(times) {
	case 0:
	case 1:
		r.First, r.Latency = times[0], times[0]
	default:
		r.First = times[0]
		rest := times[1:]
		slices.Sort(rest)
		r.Latency = rest[len(rest)/2]
	}
}
