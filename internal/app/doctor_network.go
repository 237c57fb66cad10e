package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"nemotron-mcp/falclient"
)

const (
	billingPage = "https://fal.ai/dashboard/billing"
	// slowAnswer is when a host is called slow, and maxSkew what two clocks may
	// differ by: fal's tells whole seconds.
	slowAnswer = 2 * time.Second
	maxSkew    = time.Minute
)

// network asks fal's hosts whether they are there, and meanwhile whether fal
// accepts the key and has locked the account. Questions to a host that turns out
// to be out of reach are not repeated any longer.
func (x *examination) network(ctx context.Context) []finding {
	ctx, done := context.WithTimeout(ctx, askTime)
	defer done()
	toQueue, leaveQueue := context.WithCancel(ctx)
	defer leaveQueue()
	toREST, leaveREST := context.WithCancel(ctx)
	defer leaveREST()
	var refused, untold error
	var account falclient.Account
	var asking sync.WaitGroup
	asking.Go(func() { refused = x.fal.CheckKey(toQueue) })
	asking.Go(func() { account, untold = x.fal.Account(toREST) })
	reached := x.fal.Reach(ctx)
	if !connects(reached, falclient.RoleQueue, falclient.RoleBackup) {
		leaveQueue()
	}
	if !connects(reached, falclient.RoleREST) {
		leaveREST()
	}
	asking.Wait()
	findings := []finding{judgeAnswer(refused, x.key), judgeAccount(account, untold, refused)}
	return append(findings, judgeHosts(reached)...)
}

// connects reports whether a connection to one of these hosts was made.
func connects(reached []falclient.Reach, roles ...falclient.Role) bool {
	return slices.ContainsFunc(reached, func(r falclient.Reach) bool {
		return slices.Contains(roles, r.Role) && !errors.As(r.Err, new(*falclient.ConnectError))
	})
}

func judgeAnswer(err error, key string) finding {
	const check = "key_accepted"
	var told *falclient.APIError
	switch {
	case errors.Is(err, falclient.ErrNoKey):
		return skipped(check, "not asked: there is no usable key")
	case errors.Is(err, context.Canceled):
		return skipped(check, "not told: the queue can't be reached")
	case err == nil, errors.Is(err, falclient.ErrLocked): // of the account, which it knows by the key
		return fine(check, "fal accepts the key")
	case errors.Is(err, falclient.ErrUnauthorized):
		remedy := "Check that it is a whole key that was not deleted, or create another: " + keysPage
		if !strings.Contains(key, ":") {
			remedy = "A key has two halves with a colon between, and this one has no colon. Copy the whole of it: " + keysPage
		}
		return failed(check, "fal refuses the key: "+err.Error(), remedy)
	case errors.Is(err, falclient.ErrRateLimited):
		return warning(check, "fal limits the rate of requests, and did not look at the key", "Try again later.")
	case errors.As(err, &told) && told.StatusCode >= 500:
		return failed(check, "fal is in trouble: "+err.Error(), "Try again later; see https://status.fal.ai")
	case errors.As(err, &told), errors.As(err, new(*falclient.ResponseError)):
		return failed(check, "what answers does not speak fal's API: "+err.Error(), "Check FAL_QUEUE_URL (--queue-url), and proxies.")
	}
	what, remedy := unreached("fal's queue", err)
	return failed(check, "not told: "+what, remedy)
}

// judgeAccount takes a refusal on either way for a lock. The question is not in
// fal's documents, so that no answer is no fault.
func judgeAccount(account falclient.Account, untold, refused error) finding {
	const check = "account"
	const remedy = "Top up or see what fal says at " + billingPage + ". Until then every job is refused."
	for _, err := range []error{refused, untold} {
		var told *falclient.APIError
		if errors.Is(err, falclient.ErrLocked) && errors.As(err, &told) {
			return failed(check, "fal has locked the account: "+told.Message, remedy)
		}
	}
	switch {
	case errors.Is(untold, falclient.ErrNoKey):
		return skipped(check, "not asked: there is no usable key")
	case errors.Is(untold, falclient.ErrNoStorage), errors.Is(untold, context.Canceled):
		return skipped(check, "not told: the upload API, which knows it, can't be reached")
	case untold != nil:
		return skipped(check, "fal did not tell whether the account is locked, a question that it does not document: "+untold.Error())
	case account.Locked && account.LockReason == "":
		return failed(check, "fal has locked the account", remedy)
	case account.Locked:
		return failed(check, "fal has locked the account: "+account.LockReason, remedy)
	}
	return fine(check, "not locked, by a question that fal does not document")
}

// judgeHosts tells which of fal's hosts can be reached, and compares the clocks.
func judgeHosts(reached []falclient.Reach) []finding {
	var findings []finding
	known := map[falclient.Role]bool{}
	for _, r := range reached {
		known[r.Role] = true
		findings = append(findings, judgeHost(r))
	}
	if !known[falclient.RoleREST] {
		findings = append(findings, warning("rest_host", "no upload API is known for this queue, so no local file can be sent to fal", "Set FAL_REST_URL (--rest-url)."))
	}
	if !known[falclient.RolePlatform] {
		findings = append(findings, warning("platform_host", "no platform API is known for this queue, so neither prices nor jobs of unknown fate can be asked for", "Set FAL_PLATFORM_URL (--platform-url)."))
	}
	return append(findings, judgeClock(reached))
}

func judgeHost(r falclient.Reach) finding {
	check := string(r.Role) + "_host"
	if r.Err != nil {
		what, remedy := unreached(r.Host, r.Err)
		switch r.Role {
		case falclient.RoleBackup:
			return warning(check, what+"; it is asked only where the queue can't be reached", remedy)
		case falclient.RolePlatform:
			return warning(check, what+"; it is asked for prices and by 'jobs reconcile' only", remedy)
		}
		return failed(check, what, remedy)
	}
	what := fmt.Sprintf("%s answers in %s, the first time in %s", r.Host, milliseconds(r.Latency), milliseconds(r.First))
	switch {
	case r.StatusCode >= 500:
		return warning(check, fmt.Sprintf("%s, with HTTP %d", what, r.StatusCode), "fal, or a proxy before it, may be in trouble: see https://status.fal.ai")
	case r.Latency > slowAnswer:
		return warning(check, what, "The line or a proxy is slow. Calls work, and take longer.")
	}
	return fine(check, what)
}

func milliseconds(d time.Duration) string {
	if d < time.Millisecond {
		return "under 1 ms"
	}
	return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
}

// refusedOnWindows is WSAECONNREFUSED, for which syscall has no name.
const refusedOnWindows = syscall.Errno(10061)

// unreached says why a host did not answer, and what to do.
func unreached(host string, err error) (what, remedy string) {
	var noName *net.DNSError
	var untrusted *tls.CertificateVerificationError
	var slow net.Error
	connecting := errors.As(err, new(*falclient.ConnectError))
	switch {
	case errors.As(err, &noName) && !noName.IsTimeout:
		return fmt.Sprintf("the name of %s can't be resolved", host), "Check the network, its DNS, and the address. Where only a proxy leads out, set HTTPS_PROXY."
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, refusedOnWindows):
		return host + " refuses connections", "Check the address, firewalls, and HTTPS_PROXY where one is set."
	case errors.As(err, &untrusted), errors.As(err, new(x509.UnknownAuthorityError)), errors.As(err, new(x509.HostnameError)), errors.As(err, new(x509.CertificateInvalidError)):
		return fmt.Sprintf("the certificate of %s is not trusted: %v", host, err), "A proxy that looks into TLS needs its certificate among the system's (SSL_CERT_FILE names a file of them). Check the clock, too."
	case errors.As(err, new(tls.RecordHeaderError)), errors.As(err, new(tls.AlertError)):
		return fmt.Sprintf("%s does not speak TLS as it should: %v", host, err), "Check the address and its port, and proxies."
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &slow) && slow.Timeout():
		if connecting {
			return fmt.Sprintf("no connection to %s within %s", host, askTime), "Check the network and firewalls. Where only a proxy leads out, set HTTPS_PROXY."
		}
		return fmt.Sprintf("%s took the connection and did not answer within %s", host, askTime), "Try again later; see https://status.fal.ai. A proxy may hold the answers back."
	}
	return fmt.Sprintf("%s can't be asked: %v", host, err), "Check the network, firewalls and proxies."
}

func judgeClock(reached []falclient.Reach) finding {
	const check = "clock"
	for _, r := range reached {
		if r.Err != nil || r.Date.IsZero() {
			continue
		}
		skew := r.At.Sub(r.Date.Add(time.Second / 2)).Round(time.Second) // a date is cut to the second
		switch {
		case skew > maxSkew:
			return warning(check, fmt.Sprintf("this machine's clock is %s ahead of that of %s", skew, r.Host), "Set the clock: certificates, the day of the caps and expiries go by it.")
		case skew < -maxSkew:
			return warning(check, fmt.Sprintf("this machine's clock is %s behind that of %s", -skew, r.Host), "Set the clock: certificates, the day of the caps and expiries go by it.")
		}
		return fine(check, fmt.Sprintf("within %s of that of %s", skew.Abs()+time.Second, r.Host))
	}
	return skipped(check, "no host told the time")
}
