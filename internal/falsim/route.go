package falsim

import (
	"net/http"
	"strconv"
	"strings"
)

// target is what a request's method and path ask for.
type target struct {
	step     Step
	method   string
	endpoint string // submit: the full endpoint id; other queue steps: the app root
	id       string // request or upload id
	part     int
	platform bool // of the platform API, whose errors have a shape of their own
}

// route reads a path. A path of fal's that is asked with the wrong method gets
// its step and the method it would need.
func route(r *http.Request) target {
	path := r.URL.Path
	switch {
	case strings.HasPrefix(path, "/_falsim/"):
		return target{step: stepAdmin, method: r.Method}
	case strings.HasPrefix(path, platformPath+"/"):
		return routePlatform(path[len(platformPath):])
	case path == "/storage/upload/initiate":
		return target{step: StepInitiate, method: http.MethodPost}
	case path == "/storage/upload/initiate-multipart":
		return target{step: StepInitiateMultipart, method: http.MethodPost}
	case path == accountPath:
		return target{step: StepAccount, method: http.MethodGet}
	case strings.HasPrefix(path, filePrefix):
		id, _, _ := strings.Cut(path[len(filePrefix):], "/")
		return target{step: StepFile, method: http.MethodGet, id: id}
	case strings.HasPrefix(path, uploadPrefix):
		return routeUpload(path[len(uploadPrefix):])
	}
	return routeQueue(r.Method, strings.TrimPrefix(path, "/"))
}

// routeUpload reads {id}/{name}[/{part}|/complete].
func routeUpload(rest string) target {
	p := strings.Split(rest, "/")
	switch {
	case len(p) == 2:
		return target{step: StepPut, method: http.MethodPut, id: p[0]}
	case len(p) == 3 && p[2] == "complete":
		return target{step: StepComplete, method: http.MethodPost, id: p[0]}
	case len(p) == 3:
		if n, err := strconv.Atoi(p[2]); err == nil && n >= 1 && n <= maxParts {
			return target{step: StepPart, method: http.MethodPut, id: p[0], part: n}
		}
	}
	return target{step: stepOther}
}

// routeQueue reads {owner}/{app}[/{path}] and {owner}/{app}/requests/{id}[…].
// A sub-path before requests/ is not a path of fal's queue.
func routeQueue(method, path string) target {
	p := strings.Split(path, "/")
	if len(p) >= 4 && p[2] == "requests" {
		t := target{endpoint: p[0] + "/" + p[1], id: p[3], method: http.MethodGet}
		switch strings.Join(p[4:], "/") {
		case "":
			t.step = StepResult
			if len(p) > 4 {
				t.step = stepOther
			}
		case "status":
			t.step = StepStatus
		case "status/stream":
			t.step = StepStream
		case "cancel":
			t.step, t.method = StepCancel, http.MethodPut
		default:
			t.step = stepOther
		}
		return t
	}
	if method == http.MethodPost && len(p) >= 2 {
		return target{step: StepSubmit, endpoint: path, method: http.MethodPost}
	}
	return target{step: stepOther}
}
