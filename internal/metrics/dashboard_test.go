package metrics

import (
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const dashboardFile = "../../dist/grafana-dashboard.json"

type datasource struct{ Type, UID string }

type panel struct {
	ID         int
	Type       string
	Title      string
	Datasource datasource
	GridPos    struct{ X, Y, W, H int }
	Targets    []struct {
		RefID, Expr, LegendFormat string
		Datasource                datasource
	}
}

type dashboard struct {
	Title         string
	SchemaVersion int
	Templating    struct {
		List []struct {
			Name, Type string
			Query      json.RawMessage
			Datasource datasource
		}
	}
	Panels []panel
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	content, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(content, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// known are the samples that Prometheus would have of this server.
func known(t *testing.T) map[string][]sample {
	t.Helper()
	byName := map[string][]sample{}
	for _, s := range parse(t, ask(t, exercised(), http.MethodGet).Body.Bytes()) {
		byName[s.name] = append(byName[s.name], s)
	}
	return byName
}

var legendLabel = regexp.MustCompile(`\{\{\s*([^}]*?)\s*\}\}`)

// TestDashboardNamesWhatExists fails when the dashboard asks for a metric or a
// label that the server does not write, or shows it in a way that says nothing.
func TestDashboardNamesWhatExists(t *testing.T) {
	t.Parallel()
	known := known(t)
	queries := 0
	for _, p := range readDashboard(t).Panels {
		if p.Type == "row" {
			continue
		}
		if len(p.Targets) == 0 {
			t.Errorf("panel %q asks for nothing", p.Title)
		}
		for _, target := range p.Targets {
			queries++
			labels, err := checkQuery(target.Expr, known)
			if err != nil {
				t.Errorf("panel %q: %s: %v", p.Title, target.Expr, err)
				continue
			}
			if !strings.Contains(target.Expr, `{job=~"$job"`) {
				t.Errorf("panel %q: %s is not of the chosen job", p.Title, target.Expr)
			}
			for _, label := range legendLabel.FindAllStringSubmatch(target.LegendFormat, -1) {
				if !slices.Contains(labels, label[1]) {
					t.Errorf("panel %q: the legend names %s, the query gives %v", p.Title, label[1], labels)
				}
			}
		}
	}
	if queries == 0 {
		t.Error("the dashboard has no queries")
	}
}

// TestDashboardShowsEverything fails when the server writes a family that the
// dashboard leaves out.
func TestDashboardShowsEverything(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			all.WriteString(target.Expr + "\n")
		}
	}
	for name, samples := range known(t) {
		if samples[0].kind == "HISTOGRAM" && !strings.HasSuffix(name, "_bucket") {
			continue
		}
		if !strings.Contains(all.String(), name+"{") {
			t.Errorf("no panel shows %s", name)
		}
	}
}

func TestDashboardIsWhole(t *testing.T) {
	t.Parallel()
	d := readDashboard(t)
	if d.SchemaVersion < 39 || d.Title == "" {
		t.Errorf("title %q, schema %d: not of Grafana 11", d.Title, d.SchemaVersion)
	}
	ours := datasource{"prometheus", "${datasource}"}
	names := []string{}
	for _, variable := range d.Templating.List {
		names = append(names, variable.Name+" "+variable.Type)
		if variable.Type == "query" && variable.Datasource != ours {
			t.Errorf("variable %s asks %v", variable.Name, variable.Datasource)
		}
		if variable.Type == "query" && !strings.Contains(string(variable.Query), "label_values("+prefix+"build_info, job)") {
			t.Errorf("variable %s is found by %s", variable.Name, variable.Query)
		}
	}
	if want := []string{"datasource datasource", "job query"}; !slices.Equal(names, want) {
		t.Errorf("variables %q, want %q", names, want)
	}
	rows := []string{}
	ids := map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("panel %q has the id %d of another", p.Title, p.ID)
		}
		ids[p.ID] = true
		if p.Type == "row" {
			rows = append(rows, p.Title)
			continue
		}
		if p.Datasource != ours {
			t.Errorf("panel %q asks %v", p.Title, p.Datasource)
		}
		refs := map[string]bool{}
		for _, target := range p.Targets {
			if target.Datasource != ours || refs[target.RefID] || target.RefID == "" {
				t.Errorf("panel %q: query %q of %v", p.Title, target.RefID, target.Datasource)
			}
			refs[target.RefID] = true
		}
	}
	if want := []string{"Calls", "Jobs", "Money", "fal", "Uploads", "HTTP", "Process"}; !slices.Equal(rows, want) {
		t.Errorf("rows %q, want %q", rows, want)
	}
}

func TestDashboardPanelsDoNotOverlap(t *testing.T) {
	t.Parallel()
	taken := map[[2]int]string{}
	for _, p := range readDashboard(t).Panels {
		g := p.GridPos
		if g.W < 1 || g.H < 1 || g.X < 0 || g.Y < 0 || g.X+g.W > 24 {
			t.Fatalf("panel %q is outside the grid: %+v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("panels %q and %q overlap", other, p.Title)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}
