package falclient

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

const (
	opAccount = "account"
	opProbe   = "probe"
)

// Account is what fal tells of the account of the key.
type Account struct {
	Locked bool
	// LockReason is fal's free text, such as "Exhausted balance", bounded and
	// printable; empty where there is none.
	LockReason string
}

// CheckKey asks fal whether it accepts the key, which bills nothing: it asks
// where a request stands that does not exist. nil means that fal knows the key,
// and does not tell whether the account may submit: see [Client.Account]. An
// error that matches ErrUnauthorized is fal's refusal of the key, and one that
// matches ErrLocked that of the account. A 404 that is not in fal's own shape
// proves nothing and is a *ResponseError. Other errors are those of
// [Client.Status]; it is repeated as that is.
func (c *Client) CheckKey(ctx context.Context) error {
	endpoint, err := ParseEndpoint(Nemotron)
	if err != nil {
		return err
	}
	id := randomID()
	err = c.repeat(ctx, opProbe, -1, repeatVerdict, func() error {
		_, _, err := c.get(ctx, opProbe, endpoint, id, "/status?logs=0", answerTimeout, maxStatus)
		var told *APIError
		switch {
		case errors.As(err, &told) && told.StatusCode == http.StatusNotFound && told.Structured:
			return nil
		case errors.As(err, &told) && told.StatusCode == http.StatusNotFound:
			return &ResponseError{Op: opProbe, StatusCode: told.StatusCode, Err: errors.New("not fal's answer for a request that does not exist")}
		}
		return err
	})
	return ended(ctx, err)
}

// Account asks whether the account of the key is locked. fal does not document
// this question: where it goes unanswered, or the answer does not say, the error
// tells nothing about the account. Errors are *APIError, *ConnectError,
// *ResponseError, ErrNoKey, ErrNoStorage where no REST URL is known, or ctx's; it
// is repeated as [Client.Status] is.
func (c *Client) Account(ctx context.Context) (Account, error) {
	if c.key == "" {
		return Account{}, ErrNoKey
	}
	if c.rest == nil {
		return Account{}, ErrNoStorage
	}
	var a Account
	err := c.repeat(ctx, opAccount, -1, repeatVerdict, func() (err error) {
		a, err = c.accountOnce(ctx)
		return err
	})
	return a, ended(ctx, err)
}

func (c *Client) accountOnce(ctx context.Context) (Account, error) {
	ctx, done := context.WithTimeout(ctx, answerTimeout)
	defer done()
	resp, err := c.send(ctx, c.rest, call{op: opAccount, method: http.MethodGet, path: "/billing/user_details", header: c.plain, clean: c.clean}, new(transit))
	if err != nil {
		return Account{}, err
	}
	if resp.StatusCode/100 != 2 {
		return Account{}, apiError(c.clean, opAccount, "", resp)
	}
	b, err := readBody(c.clean, resp, maxErrorBody)
	if err != nil {
		return Account{}, &ResponseError{Op: opAccount, StatusCode: resp.StatusCode, Err: err}
	}
	var wire struct {
		Locked *bool     `json:"is_locked"`
		Reason looseText `json:"lock_reason"`
	}
	if json.Unmarshal(b, &wire) != nil || wire.Locked == nil {
		return Account{}, &ResponseError{Op: opAccount, StatusCode: resp.StatusCode, Err: errors.New("it does not say whether the account is locked")}
	}
	return Account{Locked: *wire.Locked, LockReason: c.clean.text(string(wire.Reason))}, nil
}

// randomID is a version 4 UUID, which is how fal names its requests.
func randomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
