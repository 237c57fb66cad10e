package files

import (
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	linux   = pathRules{}
	darwin  = pathRules{fold: true}
	windows = pathRules{windows: true, fold: true}
)

func TestSplit(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		rules pathRules
		in    string
		want  string // "abs|volume|a/b", or the fault's part after "!"
	}{
		{"plain", linux, "a/b.txt", "||a/b.txt"},
		{"cleaned", linux, "./a//b/../c/", "||a/c"},
		{"absolute", linux, "/data/x", "abs||data/x"},
		{"above the root stays there", linux, "/../../etc/passwd", "abs||etc/passwd"},
		{"climbs", linux, "../x", "!leads out"},
		{"climbs late", linux, "a/../../x", "!leads out"},
		{"empty", linux, "", "!empty"},
		{"URI", linux, "file:///data/x", "!is a URI"},
		{"URI in capitals", windows, "FILE:///C:/x", "!is a URI"},
		{"file is a name", linux, "file:/x", "||file:/x"},
		{"NUL", linux, "a\x00b", `!a\x00b`},
		{"not UTF-8", linux, "a\xff", `!a\xff`},
		{"5,000 characters", linux, strings.Repeat("a/", 2500), "!5000 bytes long"},
		{"long element", linux, strings.Repeat("a", 256), "!too long"},
		{"backslash is a letter", linux, `a\..\b`, `||a\..\b`},
		{"colon is a letter", linux, "a:b", "||a:b"},

		{"drive", windows, `C:\data\x`, `abs|C:|data/x`},
		{"drive with slashes", windows, `c:/data/x`, `abs|c:|data/x`},
		{"drive's current folder", windows, `C:x`, "!current folder"},
		{"bare drive", windows, `C:`, "!current folder"},
		{"no drive", windows, `\data`, "!no drive"},
		{"no drive, slash", windows, `/data`, "!no drive"},
		{"UNC", windows, `\\srv\share\x`, `abs|\\srv\share|x`},
		{"UNC with slashes", windows, `//srv/share/x`, `abs|\\srv\share|x`},
		{"UNC without share", windows, `\\srv`, "!complete network path"},
		{"verbatim", windows, `\\?\C:\data\x`, "!device"},
		{"verbatim with slashes", windows, `//?/C:/data/x`, "!device"},
		{"device", windows, `\\.\PhysicalDrive0`, "!device"},
		{"object", windows, `\??\C:\x`, "!device"},
		{"climbs with backslashes", windows, `a\..\..\x`, "!leads out"},
		{"CON", windows, "CON", "!device"},
		{"nul.txt", windows, `a\nul.txt`, "!device"},
		{"COM1", windows, "com1", "!device"},
		{"COM¹", windows, "COM¹.log", "!device"},
		{"LPT9 with spaces", windows, "LPT9 .txt", "!device"},
		{"CONIN$", windows, "conin$", "!device"},
		{"COM10 is a name", windows, "COM10", "||COM10"},
		{"CONSOLE is a name", windows, "console.txt", "||console.txt"},
		{"stream", windows, "a.txt:b", "!stream"},
		{"default stream", windows, "a.txt::$DATA", "!stream"},
		{"trailing dot", windows, ".env.", "!dot or a space"},
		{"trailing space", windows, ".env ", "!dot or a space"},
		{"three dots", windows, `a\...\b`, "!dot or a space"},
		{"wildcard", windows, "a*", "!forbids"},
		{"control", windows, "a\x01", "!forbids"},
		{"short name", windows, `ENV~1\x`, "!short"},
		{"short name with extension", windows, `PRIVAT~1.PEM`, "!short"},
		{"short name of an operator's folder", windows.asOperator(), `C:\Users\JOHNDO~1\p`, `abs|C:|Users/JOHNDO~1/p`},
		{"an operator's folder may be no device either", windows.asOperator(), `C:\JOHNDO~1\nul`, "!device"},
		{"tilde is a letter", windows, "draft~final.txt", "||draft~final.txt"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, fault := tc.rules.split(tc.in)
			if part, bad := strings.CutPrefix(tc.want, "!"); bad {
				if fault == nil {
					t.Fatalf("allowed as %v", s)
				}
				wantError(t, fault, fault.Code, part)
				return
			}
			if fault != nil {
				t.Fatal(fault)
			}
			got := "|" + s.volume + "|" + strings.Join(s.elems, "/")
			if s.absolute {
				got = "abs" + got
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestInside(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name         string
		rules        pathRules
		folder, path string
		want         string // "-" for outside
	}{
		{"below", linux, "/data", "/data/a/b", "a/b"},
		{"itself", linux, "/data", "/data", ""},
		{"the sibling with a longer name", linux, "/data", "/data-evil/x", "-"},
		{"beside by ..", linux, "/data", "/data/../data-evil/x", "-"},
		{"case counts", linux, "/data", "/DATA/x", "-"},
		{"case does not count on macOS", darwin, "/Data", "/dATA/x", "x"},
		{"nor on Windows", windows, `C:\Data`, `c:\dATA\x`, "x"},
		{"another drive", windows, `C:\data`, `D:\data\x`, "-"},
		{"another share", windows, `\\srv\a`, `\\srv\b\x`, "-"},
		{"share", windows, `\\srv\a\p`, `//SRV/A/P/x`, "x"},
		{"a drive is no share", windows, `C:\a`, `\\C\a\x`, "-"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			folder, fault := tc.rules.split(tc.folder)
			if fault != nil {
				t.Fatal(fault)
			}
			name, fault := tc.rules.split(tc.path)
			if fault != nil {
				t.Fatal(fault)
			}
			got := "-"
			if below, ok := tc.rules.inside(folder, name); ok {
				got = strings.Join(below, "/")
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestRefuseFolder(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name         string
		rules        pathRules
		folder, home string
		want         string // a part of the reason; "" allowed
	}{
		{"project", linux, "/home/u/project", "/home/u", ""},
		{"root", linux, "/", "/home/u", "root"},
		{"proc", linux, "/proc/self", "", "system"},
		{"sys", linux, "/sys", "", "system"},
		{"dev", linux, "/dev/shm", "", "system"},
		{"devices is a name", linux, "/devices", "", ""},
		{"home", linux, "/home/u", "/home/u", "home"},
		{"what holds home", linux, "/home", "/home/u", "home"},
		{"home in another case", darwin, "/users/U", "/Users/u", "home"},
		{"keys", linux, "/srv/.ssh", "", "secret"},
		{"below keys", linux, "/srv/.aws/sso", "", "secret"},
		{"credentials is a project's name", linux, "/srv/credentials-service", "", ""},
		{"drive", windows, `C:\`, `C:\Users\u`, "root"},
		{"share", windows, `\\srv\share`, `C:\Users\u`, "root"},
		{"Windows home", windows, `c:\users\U`, `C:\Users\u`, "home"},
		{"Windows itself", windows, `C:\Windows`, "", "system"},
		{"below Windows", windows, `c:/WINDOWS/System32/config`, `C:\Users\u`, "system"},
		{"Windows by its share", windows, `\\host\C$\Windows\x`, "", "system"},
		{"a share's folder", windows, `\\srv\code\windows`, "", ""},
		{"a folder of that name", windows, `C:\code\Windows`, "", ""},
		{"Windows is a name elsewhere", linux, `/Windows`, "", ""},
		{"Windows project", windows, `D:\dev`, `C:\Users\u`, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			folder, fault := tc.rules.split(tc.folder)
			if fault != nil {
				t.Fatal(fault)
			}
			var home splitPath
			if tc.home != "" {
				home, _ = tc.rules.split(tc.home)
			}
			got := tc.rules.refuseFolder(folder, home, secretRules())
			if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestSecretReason(t *testing.T) {
	t.Parallel()
	rules := secretRules()
	for _, rule := range rules {
		for _, pattern := range append(rule.unless, rule.pattern) {
			if _, err := path.Match(pattern, "x"); err != nil || rule.reason == "" || fold(pattern) != pattern {
				t.Errorf("rule %v: %v", rule, err)
			}
		}
	}
	for _, name := range []string{
		".env", ".env.local", "a/.ENV", "key.pem", "x/server.KEY", "id_rsa", "ID_ED25519.pub", ".ssh/config",
		"a/.ssh/known_hosts", ".aws/config", ".gnupg/x", ".netrc", ".npmrc", ".pypirc", "credentials", "Credentials.json",
		"my.kdbx", ".git/config", "sub/.git/HEAD", ".docker/config.json", ".kube/config", ".config/gcloud/x", ".bash_history",
		"terraform.tfstate", "terraform.tfstate.backup",
		"prod.env", "a/PROD.env", ".env.example.local", ".envrc", ".mcp.json", "a/.cursor/mcp.json", ".vscode/mcp.json", "mcp_config.json",
		"claude_desktop_config.json", ".claude/settings.json", ".claude/settings.local.json", ".claude.json", ".codex/auth.json",
		".gemini/settings.json", "prod.tfvars", "x.auto.tfvars.json", ".terraformrc", "kubeconfig", "secrets.yaml", "secrets.yml", "secret.yml",
		"service-account.json", "service_account-prod.json", "app/google-services.json", "AuthKey.p8", "key.asc", ".gitconfig",
		"id_rsa.pub", "id_ecdsa_sk", "id_ed25519.bak", "id_rsa.old", "id_dsa/x",
		".\u200cenv", ".ſsh/config", ".\u212aube/config", ".env\u202e", ".env.", "a.pem ",
	} {
		if secretReason(rules, strings.Split(name, "/")) == "" {
			t.Errorf("%q is not taken for a secret", name)
		}
	}
	for _, name := range []string{
		"main.go", "env", "environment.ts", ".gitignore", ".github/workflows/ci.yml", "identity.go", "keyboard.go",
		".env.example", ".env.sample", ".env.template", "a/.env.dist", "id_map.go", "id_test.py", "mcp.json", ".vscode/settings.json",
		".claude/commands/x.md", "settings.json", ".gemini/x.md", "tfvars.go", "secrets.go", "secret.md", "service.json", "account.json",
		"kubeconfig.go", "env.go", "identity_map", ".cursor/rules/x.md",
		"docker/config.json", ".docker/Dockerfile", "config/gh.go", "monkey", "a.pem.go", "ssh/client.go", "grid_x.go",
	} {
		if reason := secretReason(rules, strings.Split(name, "/")); reason != "" {
			t.Errorf("%q is taken for a secret: %s", name, reason)
		}
	}
}

func FuzzSplit(f *testing.F) {
	for _, seed := range []string{"a/b", "/data/../x", `C:\a\..\..\b`, `\\?\C:\x`, `\\srv\s\..\x`, "nul.txt", "a:b", "..\\x", "ENV~1", "a/./b/", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		for _, rules := range []pathRules{linux, darwin, windows} {
			s, fault := rules.split(name)
			if fault != nil {
				if fault.Message == "" || fault.Action == "" {
					t.Errorf("%q: an error without words", name)
				}
				continue
			}
			for _, elem := range s.elems {
				if elem == "" || elem == "." || elem == ".." || strings.ContainsAny(elem, "/\x00") {
					t.Errorf("%q: element %q", name, elem)
				}
				if rules.windows && (strings.ContainsAny(elem, `\:`) || strings.TrimRight(elem, ". ") != elem) {
					t.Errorf("%q: Windows element %q", name, elem)
				}
			}
			if s.absolute {
				continue
			}
			// What is relative stays below its folder, however it is written.
			again, fault := rules.split(strings.Join(s.elems, "/"))
			if len(s.elems) > 0 && (fault != nil || cmp.Diff(s.elems, again.elems) != "" || again.absolute) {
				t.Errorf("%q: split again gives %v, %v", name, again, fault)
			}
		}
	})
}
