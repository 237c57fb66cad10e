package schema

import (
	"encoding/json"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// maxLiteral bounds the literals that are computed with exactly. It is above
// the longest that a float64 needs in decimal, exponent aside.
const maxLiteral = 800

// number brings a JSON number literal into a form that the engine and
// encoding/json agree on: an int64 in plain digits where n wants an integer
// and the literal is one, else the shortest form of the float64. The engine
// panics on exponents in the millions, so none reaches it.
func (c *coercer) number(n *node, literal string, path []string) any {
	plain, ok := plainNumber(n.Type, literal)
	if !ok {
		c.fault(path, "%s is out of range%s", shorten(literal), n.bounds())
		return nil
	}
	c.out.WriteString(plain)
	return json.Number(plain)
}

// plainNumber returns the literal in plain form, false where it is beyond a
// float64 or, being whole and wanted as an integer, beyond an int64.
func plainNumber(kind, literal string) (string, bool) {
	if isInt64Literal(literal) {
		return literal, true
	}
	f, err := strconv.ParseFloat(literal, 64)
	if err != nil {
		return "", false
	}
	float := strconv.FormatFloat(f, 'g', -1, 64)
	if kind != "integer" || f != math.Trunc(f) {
		return float, true
	}
	if f == 0 {
		if strings.ContainsAny(mantissa(literal), "123456789") {
			return "5e-324", true // too small for a float64, yet no integer
		}
		return "0", true
	}
	// 2^63 as a float64 may be 2^63 - 1 rounded, so the digits decide.
	if len(literal) > maxLiteral || math.Abs(f) > 1<<63 {
		return "", false
	}
	exact, ok := new(big.Rat).SetString(literal)
	switch {
	case !ok:
		return "", false
	case !exact.IsInt():
		return literal, true
	case !exact.Num().IsInt64():
		return "", false
	}
	return exact.Num().String(), true
}

func mantissa(literal string) string {
	if i := strings.IndexAny(literal, "eE"); i >= 0 {
		return literal[:i]
	}
	return literal
}

// isIntegerSpelling reports whether s is an integer as JSON spells it, of any
// size: without spaces, plus sign, leading zeros, fraction or exponent.
func isIntegerSpelling(s string) bool {
	return isNumberLiteral(s) && !strings.ContainsAny(s, ".eE")
}

// sizeLimit tells how many items may stand in an array of n.
func (n *node) sizeLimit() string {
	if n.MaxItems == "" {
		return "a call takes " + strconv.Itoa(maxEntries)
	}
	return "must have " + n.MaxItems.String() + " or fewer"
}

// bounds tells the range that n allows, in words to put after a fault.
func (n *node) bounds() string {
	switch {
	case n.Minimum != "" && n.Maximum != "":
		return " (allowed: " + n.Minimum.String() + " to " + n.Maximum.String() + ")"
	case n.Minimum != "":
		return " (minimum " + n.Minimum.String() + ")"
	case n.Maximum != "":
		return " (maximum " + n.Maximum.String() + ")"
	}
	return ""
}
