package app

import (
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"nemotron-mcp/falclient"
	"nemotron-mcp/internal/files"
	"nemotron-mcp/internal/jobs"
)

const keysPage = "https://fal.ai/dashboard/keys"

// judgeKey looks for the key and returns it where it is usable. No finding holds
// any part of it.
func (o *Options) judgeKey() (string, []finding) {
	key, source, err := o.findKey()
	switch {
	case err != nil:
		return "", []finding{misconfigured("key", err)}
	case key == "":
		return "", []finding{failed("key", "no fal key is set",
			"Create one at "+keysPage+" and set FAL_KEY in the host's entry for this server: most hosts do not hand on the variables of your shell.")}
	case !usableKey(key):
		return "", []finding{failed("key", source+" holds a space, a control character or a character beyond ASCII, so the key is not used",
			"Copy the whole key again from "+keysPage+", on one line.")}
	}
	findings := []finding{fine("key", "set by "+source)}
	if info, err := os.Stat(o.FalKeyFile); o.FalKeyFile != "" && err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		findings = append(findings, warning("key", "other users may read the key in "+o.FalKeyFile, "chmod 600 "+o.FalKeyFile))
	}
	return key, findings
}

// environment looks for settings that do something else than they seem to.
func (x *examination) environment() []finding {
	const check = "environment"
	var findings []finding
	for _, name := range placeholders(os.Environ()) {
		findings = append(findings, warning(check, name+" holds a placeholder that the host did not fill in",
			"Set "+name+" in the host's entry to a value, or in the way that this host has for secrets; or leave it out."))
	}
	id, secret := setting("FAL_KEY_ID") != "", setting("FAL_KEY_SECRET") != ""
	if id != secret && setting("FAL_KEY") == "" {
		findings = append(findings, warning(check, "only one of FAL_KEY_ID and FAL_KEY_SECRET is set", "Set both, or FAL_KEY alone."))
	}
	if _, err := x.s.opts.submitOptions(); err != nil {
		findings = append(findings, misconfigured(check, err))
	}
	findings = append(findings, x.s.opts.elsewhere()...)
	findings = append(findings, proxies()...)
	if len(findings) == 0 {
		return []finding{fine(check, "no proxy, no address but fal's, no placeholder left")}
	}
	return findings
}

// placeholders are the variables of ours that hold a placeholder.
func placeholders(environ []string) []string {
	var names []string
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		ours := strings.HasPrefix(name, "FAL_") || strings.HasPrefix(name, envPrefix+"_") || name == "CLAUDE_PROJECT_DIR"
		if ours && unfilled(strings.TrimSpace(value)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// elsewhere tells of base URLs that are not fal's, a finding each host.
func (o *Options) elsewhere() []finding {
	var hosts []string
	names := map[string][]string{}
	for _, base := range []struct{ set, fals, variable string }{
		{o.QueueURL, falclient.DefaultQueueURL, "FAL_QUEUE_URL"},
		{o.PlatformURL, falclient.DefaultPlatformURL, "FAL_PLATFORM_URL"},
		{o.RestURL, falclient.DefaultRESTURL, "FAL_REST_URL"},
	} {
		if base.set == "" || strings.TrimRight(base.set, "/") == base.fals {
			continue
		}
		host, _ := hostOf(base.set)
		if names[host] == nil {
			hosts = append(hosts, host)
		}
		names[host] = append(names[host], base.variable)
	}
	var findings []finding
	for _, host := range hosts {
		set := strings.Join(names[host], ", ")
		findings = append(findings, warning("environment", fmt.Sprintf("the key and requests go to %s, which is not fal's host: %s", host, set),
			"Leave "+set+" (or their flags) out, unless that is meant, as with the simulator."))
	}
	return findings
}

// hostOf is the part of a URL that holds no secret; ok is false where there is
// none.
func hostOf(raw string) (host string, ok bool) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return "an address that is no URL", false
	}
	return u.Host, true
}

// proxyVariables are those that Go's client goes by.
var proxyVariables = []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"}

func proxies() []finding {
	const check = "environment"
	for _, name := range proxyVariables {
		address := os.Getenv(name)
		if address == "" {
			continue
		}
		// Go's client goes without a proxy whose address it can't read.
		host, ok := hostOf(withScheme(address))
		switch {
		case !ok:
			return []finding{warning(check, name+" is no address, so no proxy is used", "Set it as http://HOST:PORT, or leave it out.")}
		case strings.EqualFold(name, "HTTPS_PROXY"):
			return []finding{fine(check, fmt.Sprintf("requests to fal go through the proxy at %s (%s), but for hosts in NO_PROXY", host, name))}
		}
		return nil // one for http is none for fal
	}
	if os.Getenv("ALL_PROXY")+os.Getenv("all_proxy") != "" {
		return []finding{warning(check, "ALL_PROXY is set, which is not read here", "Set HTTPS_PROXY to the same address where fal is to be reached through it.")}
	}
	return nil
}

// withScheme is how Go reads a proxy's address.
func withScheme(address string) string {
	if strings.Contains(address, "://") {
		return address
	}
	return "http://" + address
}

// folders judges the folders that a host on this machine may name files in, by
// the rules that the server goes by.
func (x *examination) folders() []finding {
	const check = "folders"
	opts := x.s.opts
	var all files.Folders
	defer all.Close()
	all.Forbid(opts.ownFiles()...)
	project := setting("CLAUDE_PROJECT_DIR")
	var findings []finding
	for _, refusal := range all.Set(opts.allowDirs()) {
		findings = append(findings, failed(check, refusal.String(), "Correct or remove it in --allow-dir (NEMOTRON_MCP_ALLOW_DIR)."))
	}
	for _, refusal := range all.Set(opts.localDirs()) {
		if project != "" && refusal.Folder == files.Visible(project) {
			findings = append(findings, warning(check, "the project's "+refusal.String(), "Start the host in a project's own folder (CLAUDE_PROJECT_DIR names it), or allow one with --allow-dir."))
		}
	}
	for _, dir := range all.List() {
		findings = append(findings, fine(check, "tools may read in "+files.Visible(dir)))
	}
	if len(all.List()) == 0 {
		findings = append(findings, warning(check, "no folder is allowed, so tools can read no files",
			"Allow one with --allow-dir DIR (NEMOTRON_MCP_ALLOW_DIR). Hosts that tell their open folders (roots), such as Claude Code and VS Code, allow them by themselves."))
	}
	return findings
}

// oldPrices is when prices that were read from fal are worth reading again.
const oldPrices = 90 * 24 * time.Hour

func (x *examination) prices() []finding {
	const check = "prices"
	opts := x.s.opts
	if _, err := opts.prices(); err != nil {
		return []finding{misconfigured(check, err)}
	}
	own := ""
	if len(opts.Price) > 0 {
		own = fmt.Sprintf("; --price sets %s", count(len(opts.Price), "endpoint"))
	}
	dir, err := opts.stateDir()
	var info fs.FileInfo
	if err == nil && opts.Store != storeMemory {
		info, err = os.Lstat(filepath.Join(dir, pricesFile))
	}
	if err != nil || info == nil {
		return []finding{{check, isOK, "fal's published prices, as this version knows them" + own, "'nemotron-mcp usage --refresh-prices' reads your account's."}}
	}
	age := time.Since(info.ModTime())
	what := fmt.Sprintf("read from fal %s ago%s", count(int(age.Hours()/24), "day"), own)
	if age > oldPrices {
		return []finding{warning(check, what, "Read them again with 'nemotron-mcp usage --refresh-prices'.")}
	}
	return []finding{fine(check, what)}
}

// budget judges the caps against what the day's jobs count.
func (x *examination) budget(look jobs.Inspection, lookErr error) []finding {
	const check = "budget"
	opts := x.s.opts
	var findings []finding
	if opts.dayCapped() && opts.Store == storeMemory {
		return []finding{misconfigured(check, errCapWithoutLedger())}
	}
	if prices, err := opts.prices(); err == nil && opts.MaxCostPerCall > 0 {
		plain := prices.WorstCase(falclient.Nemotron, falclient.NemotronInput{})
		media := prices.WorstCase(falclient.NemotronVideo, falclient.NemotronInput{})
		switch most := float64(opts.MaxCostPerCall); {
		case most < plain:
			findings = append(findings, warning(check, fmt.Sprintf("--max-cost-per-call is %s, and a call with the default max_tokens may cost %s: it is refused", dollars(most), dollars(plain)), "Raise --max-cost-per-call."))
		case most < media:
			findings = append(findings, finding{check, isOK, fmt.Sprintf("a call may cost %s; with an image, a video or audio it may come to %s and is refused", dollars(most), dollars(media)), "Raise --max-cost-per-call where media are wanted."})
		default:
			findings = append(findings, fine(check, "a call may cost "+dollars(most)))
		}
	}
	if !opts.dayCapped() {
		return append(findings, finding{check, isOK, "the day's cost has no cap", "--max-cost-per-day USD sets one (NEMOTRON_MCP_MAX_COST_PER_DAY)."})
	}
	if lookErr != nil || len(look.Damage) > 0 {
		return append(findings, skipped(check, "what was spent today can't be read: see the ledger"))
	}
	if prices, err := opts.prices(); err == nil {
		plain := prices.WorstCase(falclient.Nemotron, falclient.NemotronInput{})
		for _, cap := range []struct {
			flag string
			most cost
		}{{"--max-cost-per-day", opts.MaxCostPerDay}, {"--max-cost-per-day-total", opts.MaxCostPerDayTotal}} {
			if most := float64(cap.most); most > 0 && most < plain {
				findings = append(findings, warning(check, fmt.Sprintf("%s is %s, and one call with the default max_tokens may cost %s: it is refused", cap.flag, dollars(most), dollars(plain)), "Raise "+cap.flag+"."))
			}
		}
	}
	return append(findings, opts.spending(look.Today)...)
}

// spending compares the day's rows with the caps.
func (o *Options) spending(today []jobs.UsageRow) []finding {
	sum := report(today, time.Now().UTC(), o.dayCap(today))
	type bar struct {
		whose     string
		usd, most float64
	}
	var bars []bar
	if sum.DayCapUSD > 0 {
		bars = append(bars, bar{"", sum.CountedTodayUSD, sum.DayCapUSD})
	}
	for _, row := range today {
		if row.Caller != "" && o.MaxCostPerDay > 0 {
			bars = append(bars, bar{" by " + row.Caller, row.CountedUSD, float64(o.MaxCostPerDay)})
		}
	}
	var findings []finding
	for _, b := range bars {
		what := fmt.Sprintf("%s of the day's cap of %s is spent or reserved%s", dollars(b.usd), dollars(b.most), b.whose)
		if b.usd >= b.most {
			findings = append(findings, warning("budget", what+": calls are refused", "Wait for the next UTC day, or raise --max-cost-per-day or --max-cost-per-day-total."))
			continue
		}
		findings = append(findings, fine("budget", what))
	}
	if len(findings) == 0 { // each caller has a cap, and none has spent anything
		findings = append(findings, fine("budget", "nothing is spent today"))
	}
	return findings
}
