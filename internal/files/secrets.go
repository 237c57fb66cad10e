package files

import (
	"path"
	"strings"
	"unicode"
)

// A secretRule refuses names by a pattern of path.Match over one element, or,
// where it holds a slash, over as many elements as it has. Patterns are lower
// case, because names are folded before they are compared.
type secretRule struct{ pattern, reason string }

// secretRules lists what is never read, whoever asks. A name stands for a folder
// as well as for a file: everything below it is refused too.
func secretRules() []secretRule {
	return []secretRule{
		{".env*", "environment files hold keys"},
		{"*.pem", "a private key or certificate"},
		{"*.key", "a private key"},
		{"*.p12", "a key store"},
		{"*.pfx", "a key store"},
		{"*.jks", "a key store"},
		{"*.keystore", "a key store"},
		{"*.ppk", "a private key"},
		{"*.kdbx", "a password store"},
		{"*.kdb", "a password store"},
		{"*.ovpn", "a VPN profile with keys"},
		{"*.tfstate", "Terraform's state holds secrets"},
		{"*.tfstate.*", "Terraform's state holds secrets"},
		{"id_*", "an SSH key"},
		{"credentials*", "credentials"},
		{".netrc", "log-in data"},
		{"_netrc", "log-in data"},
		{".npmrc", "a registry token"},
		{".yarnrc.yml", "a registry token"},
		{".pypirc", "a registry token"},
		{".pgpass", "a database password"},
		{".my.cnf", "a database password"},
		{".htpasswd", "passwords"},
		{".git-credentials", "credentials"},
		{".vault-token", "a token"},
		{".dockercfg", "a registry token"},
		{".s3cfg", "a cloud key"},
		{".boto", "a cloud key"},
		{".*_history", "a shell's history"},
		{".ssh", "SSH keys"},
		{".aws", "cloud keys"},
		{".azure", "cloud keys"},
		{".oci", "cloud keys"},
		{".gnupg", "PGP keys"},
		{".kube", "cluster credentials"},
		{".password-store", "a password store"},
		{".terraform.d", "tokens"},
		{".git", "a repository's configuration can hold tokens"},
		{".docker/config.json", "registry tokens"},
		{".config/gcloud", "cloud keys"},
		{".config/gh", "a token"},
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
			// The patterns are constants: a test tells that none is malformed.
			if ok, _ := path.Match(rule.pattern, strings.Join(folded[i:i+width], "/")); ok {
				return rule.reason
			}
		}
	}
	return ""
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
