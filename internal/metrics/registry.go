package metrics

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Registry holds families of metrics and serves them as a page. Its zero value
// is empty and ready. It is safe for concurrent use.
//
// A family that is badly declared (a name that Prometheus does not allow or
// that is taken, a wrong number of label values) is a mistake in the program
// and panics.
type Registry struct {
	mu       sync.Mutex
	families []family // by name
}

type family struct {
	name, help, kind string
	samples          func(page []byte) []byte // appends them
}

func (r *Registry) add(f family, labels []string) {
	if !isName(strings.ReplaceAll(f.name, ":", "_")) {
		panic(fmt.Sprintf("metrics: %q is no name of a metric", f.name))
	}
	for i, label := range labels {
		if !isName(label) || strings.HasPrefix(label, "__") || label == "le" || slices.Contains(labels[:i], label) {
			panic(fmt.Sprintf("metrics: %s can't have the label %q", f.name, label))
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	at, taken := slices.BinarySearchFunc(r.families, f.name, func(f family, name string) int {
		return strings.Compare(f.name, name)
	})
	if taken {
		panic(fmt.Sprintf("metrics: %s is declared twice", f.name))
	}
	// Cloned, for a page may be reading the former slice.
	r.families = slices.Insert(slices.Clone(r.families), at, f)
}

// isName says whether that is a label's name. A metric's may have colons too.
func isName(s string) bool {
	for i, c := range []byte(s) {
		digit := c >= '0' && c <= '9'
		if letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_'; !letter && (!digit || i == 0) {
			return false
		}
	}
	return s != ""
}

// appendPage appends all families that have samples.
func (r *Registry) appendPage(page []byte) []byte {
	r.mu.Lock()
	families := r.families
	r.mu.Unlock()
	for _, f := range families {
		before := len(page)
		page = appendHead(page, f)
		bare := len(page)
		if page = f.samples(page); len(page) == bare {
			page = page[:before]
		}
	}
	return page
}

// ServeHTTP answers GET and HEAD with the page and refuses other methods with
// 405. It calls the functions of all gauges.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	page := r.appendPage(nil)
	header := w.Header()
	header.Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	header.Set("Content-Length", strconv.Itoa(len(page)))
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff") // label values may look like HTML
	if req.Method == http.MethodHead {
		return
	}
	_, _ = w.Write(page) // who went away needs no page
}
