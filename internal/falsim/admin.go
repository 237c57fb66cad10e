package falsim

import (
	"encoding/json"
	"net"
	"net/netip"
	"strings"
)

// admin serves the simulator's own paths: PUT or GET /_falsim/script, GET
// /_falsim/stats, /_falsim/jobs and /_falsim/uploads, POST /_falsim/reset.
func (s *Server) admin(c *call) {
	if !s.localHost(c.r.Host) {
		c.write(detail(403, "The simulator is controlled from this machine only"))
		return
	}
	switch c.r.Method + " " + strings.TrimPrefix(c.r.URL.Path, "/_falsim/") {
	case "PUT script":
		c.write(s.putScript(c))
	case "GET script":
		s.mu.Lock()
		script := s.plan.Script
		s.mu.Unlock()
		c.write(jsonAnswer(200, script))
	case "GET stats":
		c.write(jsonAnswer(200, s.Stats()))
	case "GET jobs":
		c.write(jsonAnswer(200, s.Jobs()))
	case "GET uploads":
		c.write(jsonAnswer(200, s.Uploads()))
	case "POST reset":
		s.Reset()
		c.write(jsonText(200, `{}`))
	default:
		c.write(detail(404, "Not Found"))
	}
}

func (s *Server) putScript(c *call) answer {
	body, err := c.readAll(maxJSONBody)
	if err != nil {
		return detail(400, "Request body could not be read")
	}
	var sc Script
	if err := json.Unmarshal(body, &sc); err != nil {
		return detail(400, err.Error())
	}
	if err := s.setScript(sc); err != nil {
		return detail(400, err.Error())
	}
	return jsonText(200, `{}`)
}

// localHost keeps web pages that rebind a name of theirs to this machine away
// from the controls. A plain handler has its owner's rules.
func (s *Server) localHost(host string) bool {
	if s.baseURL() == "" {
		return true
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || (err == nil && ip.IsLoopback())
}
