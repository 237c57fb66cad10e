package files

import (
	"path"
	"slices"
	"strings"
	"unicode"
)

// A secretRule refuses names by a pattern of path.Match over one element, or,
// where it holds a slash, over as many elements as it has, unless another pattern
// fits too. Patterns are lower case, because names are folded before they are
// compared.
type secretRule struct {
	pattern, reason string
	unless          []string
}

// secretRules lists what is never read, whoever asks. A name stands for a folder
// as well as for a file: everything below it is refused too.
func secretRules() []secretRule { return append(keyRules(), settingsRules()...) }

// keyRules are the names of keys, key stores and credentials.
func keyRules() []secretRule {
	return []secretRule{
		{".env*", "environment files hold keys", []string{".env.example", ".env.sample", ".env.template", ".env.dist"}},
		{"*.env", "environment files hold keys", nil},
		{"*.pem", "a private key or certificate", nil},
		{"*.key", "a private key", nil},
		{"*.p8", "a private key", nil},
		{"*.asc", "a PGP key", nil},
		{"*.p12", "a key store", nil},
		{"*.pfx", "a key store", nil},
		{"*.jks", "a key store", nil},
		{"*.keystore", "a key store", nil},
		{"*.ppk", "a private key", nil},
		{"*.kdbx", "a password store", nil},
		{"*.kdb", "a password store", nil},
		{"*.ovpn", "a VPN profile with keys", nil},
		{"*.tfstate", "Terraform's state holds secrets", nil},
		{"*.tfstate.*", "Terraform's state holds secrets", nil},
		{"id_*", "an SSH key", []string{"*.*"}}, // id_map.go is none
		{"id_*.pub", "an SSH key", nil},
		{"id_*.bak", "an SSH key", nil},
		{"id_*.old", "an SSH key", nil},
		{"*.tfvars", "Terraform's variables hold secrets", nil},
		{"*.tfvars.json", "Terraform's variables hold secrets", nil},
		{"credentials*", "credentials", nil},
		{"secrets.y*ml", "secrets", nil},
		{"secret.y*ml", "secrets", nil},
		{"service-account*.json", "a cloud key", nil},
		{"service_account*.json", "a cloud key", nil},
		{"google-services.json", "a cloud key", nil},
		{"kubeconfig", "cluster credentials", nil},
		{".mcp.json", "hosts' settings hold keys", nil},
		{"mcp_config.json", "hosts' settings hold keys", nil},
		{"claude_desktop_config.json", "hosts' settings hold keys", nil},
		{".claude.json", "hosts' settings hold keys", nil},
		{".codex", "hosts' settings hold keys", nil},
		{".claude/settings*.json", "hosts' settings hold keys", nil},
		{".gemini/settings.json", "hosts' settings hold keys", nil},
		{".cursor/mcp.json", "hosts' settings hold keys", nil},
		{".vscode/mcp.json", "hosts' settings hold keys", nil},
	}
}

// settingsRules are the names of settings and folders that hold such things.
func settingsRules() []secretRule {
	return []secretRule{
		{".netrc", "log-in data", nil},
		{"_netrc", "log-in data", nil},
		{".npmrc", "a registry token", nil},
		{".yarnrc.yml", "a registry token", nil},
		{".pypirc", "a registry token", nil},
		{".pgpass", "a database password", nil},
		{".my.cnf", "a database password", nil},
		{".htpasswd", "passwords", nil},
		{".git-credentials", "credentials", nil},
		{".gitconfig", "it can hold tokens", nil},
		{".terraformrc", "a token", nil},
		{".vault-token", "a token", nil},
		{".dockercfg", "a registry token", nil},
		{".s3cfg", "a cloud key", nil},
		{".boto", "a cloud key", nil},
		{".*_history", "a shell's history", nil},
		{".ssh", "SSH keys", nil},
		{".aws", "cloud keys", nil},
		{".azure", "cloud keys", nil},
		{".oci", "cloud keys", nil},
		{".gnupg", "PGP keys", nil},
		{".kube", "cluster credentials", nil},
		{".password-store", "a password store", nil},
		{".terraform.d", "tokens", nil},
		{".git", "a repository's configuration can hold tokens", nil},
		{".docker/config.json", "registry tokens", nil},
		{".config/gcloud", "cloud keys", nil},
		{".config/gh", "a token", nil},
	}
}

// secretReason tells why the path of these elements is refused by its names, or
// returns "".
func secretReason(rules []secretRule, elems []string) string {
	folded := make([]string, len(elems))
	for i, elem := range elems {
		folded[i] = fold(elem)
	}
	for _, rule := range rules {
		width := strings.Count(rule.pattern, "/") + 1
		for i := 0; i+width <= len(folded); i++ {
			if rule.refuses(strings.Join(folded[i:i+width], "/")) {
				return rule.reason
			}
		}
	}
	return ""
}

// pairReason is secretReason by the rules of two elements only, such as
// .config/gh.
func pairReason(rules []secretRule, elems []string) string {
	return secretReason(slices.DeleteFunc(slices.Clone(rules), func(r secretRule) bool { return !strings.Contains(r.pattern, "/") }), elems)
}

func (r secretRule) refuses(folded string) bool {
	// The patterns are constants: a test tells that none is malformed.
	if ok, _ := path.Match(r.pattern, folded); !ok {
		return false
	}
	return !slices.ContainsFunc(r.unless, func(pattern string) bool {
		ok, _ := path.Match(pattern, folded)
		return ok
	})
}

// fold reduces a name to what file systems take for the same: the case by
// Unicode's simple folding (APFS and NTFS find .KUBE and even .ſsh under their
// plain names), without characters that HFS+ ignores.
func fold(name string) string {
	return strings.TrimRight(strings.Map(func(r rune) rune {
		if ignorable(r) || unicode.Is(unicode.Cc, r) {
			return -1
		}
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return unicode.ToLower(least)
	}, name), ". ")
}
