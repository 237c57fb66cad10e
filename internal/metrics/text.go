package metrics

import (
	"strconv"
	"strings"
)

var (
	helpEscaper  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	labelEscaper = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

func appendHead(page []byte, f family) []byte {
	page = append(page, "# HELP "+f.name+" "+helpEscaper.Replace(f.help)+"\n"...)
	return append(page, "# TYPE "+f.name+" "+f.kind+"\n"...)
}

// pairs is how a label set is written, without the braces.
func pairs(labels, values []string) string {
	var b strings.Builder
	for i, label := range labels {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(label + `="` + labelEscaper.Replace(values[i]) + `"`)
	}
	return b.String()
}

// appendName appends the part of a sample before its value.
func appendName(page []byte, name, pairs string) []byte {
	page = append(page, name...)
	if pairs != "" {
		page = append(page, '{')
		page = append(page, pairs...)
		page = append(page, '}')
	}
	return append(page, ' ')
}

func appendFloat(page []byte, name, pairs string, value float64) []byte {
	page = strconv.AppendFloat(appendName(page, name, pairs), value, 'g', -1, 64)
	return append(page, '\n')
}

func appendCount(page []byte, name, pairs string, value uint64) []byte {
	page = strconv.AppendUint(appendName(page, name, pairs), value, 10)
	return append(page, '\n')
}
