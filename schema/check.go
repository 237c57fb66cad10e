package schema

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/invopop/jsonschema"
)

// maxDepth bounds how deep structs, slices and maps may nest. Hosts refuse
// schemas long before.
const maxDepth = 16

// checker looks for what invopop/jsonschema v0.14.0 overflows on, panics on or
// drops in silence, and for shapes that hosts refuse. It collects every fault.
type checker struct {
	path   []reflect.Type // the types being walked, outermost first
	faults []error
}

func (c *checker) fault(field, format string, args ...any) {
	if field == "" {
		c.faults = append(c.faults, fmt.Errorf(format, args...))
		return
	}
	c.faults = append(c.faults, fmt.Errorf("%s: %s", field, fmt.Sprintf(format, args...)))
}

// structFields checks the fields of t, which is a struct, with those of the
// structs embedded in it.
func (c *checker) structFields(t reflect.Type, prefix string) {
	if !c.enter(t, prefix) {
		return
	}
	defer c.leave()
	c.namedFields(t, prefix, make(map[string]bool))
}

func (c *checker) namedFields(t reflect.Type, prefix string, seen map[string]bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" && options == "" {
			continue
		}
		if f.Anonymous && name == "" {
			c.embedded(f, prefix, seen)
			continue
		}
		if !f.IsExported() {
			continue
		}
		if name == "" {
			name = f.Name
		}
		path := join(prefix, name)
		if seen[name] {
			c.fault(path, "two fields have this name")
			continue
		}
		seen[name] = true
		if !isPropertyName(name) {
			c.fault(path, "a name has 1 to 64 letters, digits, underscores, dots and hyphens")
			continue
		}
		c.field(f, path, options)
	}
}

func (c *checker) embedded(f reflect.StructField, prefix string, seen map[string]bool) {
	t := f.Type
	if t.Kind() == reflect.Pointer && f.IsExported() {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		c.fault(join(prefix, f.Name), "only structs can be embedded")
		return
	}
	if f.Tag.Get("jsonschema") != "" {
		c.fault(join(prefix, f.Name), "a jsonschema tag on an embedded struct has no effect")
	}
	if !c.enter(t, join(prefix, f.Name)) {
		return
	}
	defer c.leave()
	c.namedFields(t, prefix, seen)
}

func (c *checker) field(f reflect.StructField, path, options string) {
	for option := range strings.SplitSeq(options, ",") {
		if option == "string" || option == "inline" {
			c.fault(path, "the json option %q is not supported", option)
		}
	}
	if f.Tag.Get("jsonschema_extras") != "" {
		c.fault(path, "the tag jsonschema_extras is not supported")
	}
	before := len(c.faults)
	c.fieldType(f.Type, path)
	if len(c.faults) == before {
		c.tags(f, path)
	}
}

// fieldType checks a type that stands for a value in JSON.
func (c *checker) fieldType(t reflect.Type, path string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reason := refusedType(t); reason != "" {
		c.fault(path, "%s %s", t, reason)
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		c.structFields(t, path)
	case reflect.Slice, reflect.Array, reflect.Map:
		if !c.enter(t, path) {
			return
		}
		defer c.leave()
		c.fieldType(t.Elem(), path+"[]")
	}
}

// enter notes that t is being walked, and reports false where that would not
// end: invopop overflows the stack on a recursive type.
func (c *checker) enter(t reflect.Type, path string) bool {
	if slices.Contains(c.path, t) {
		c.fault(path, "%s contains itself", t)
		return false
	}
	if len(c.path) >= maxDepth {
		c.fault(path, "nested deeper than %d levels", maxDepth)
		return false
	}
	c.path = append(c.path, t)
	return true
}

func (c *checker) leave() { c.path = c.path[:len(c.path)-1] }

// refusedType tells why t has no schema that says what encoding/json does
// with it; it returns "" for a type that has one.
func refusedType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Interface:
		return "would accept anything"
	case reflect.Bool, reflect.Float32, reflect.Float64, reflect.Struct,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
	case reflect.String:
		if t == reflect.TypeFor[json.Number]() {
			return "is a number for encoding/json and a string for the schema"
		}
	case reflect.Slice, reflect.Array:
		if t == reflect.TypeFor[json.RawMessage]() {
			return "would accept anything"
		}
		if t.Elem().Kind() == reflect.Uint8 {
			return "is base64 for encoding/json; use a string"
		}
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			return "has keys that are not strings"
		}
	default:
		return "has no JSON form"
	}
	if implementsAny(t, reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.Unmarshaler](),
		reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return "marshals itself, so its schema can't be derived"
	}
	if implementsAny(t,
		reflect.TypeFor[interface{ JSONSchema() *jsonschema.Schema }](),
		reflect.TypeFor[interface{ JSONSchemaExtend(*jsonschema.Schema) }](),
		reflect.TypeFor[interface{ JSONSchemaAlias() any }](),
		reflect.TypeFor[interface{ JSONSchemaProperty(string) any }](),
		reflect.TypeFor[interface{ GetFieldDocString(string) string }]()) {
		return "writes its own schema"
	}
	return ""
}

func implementsAny(t reflect.Type, interfaces ...reflect.Type) bool {
	if t.Name() == "" && t.Kind() != reflect.Struct {
		return false
	}
	pointer := reflect.PointerTo(t)
	return slices.ContainsFunc(interfaces, pointer.Implements)
}

// tags checks the jsonschema tags of a field whose type is fine.
func (c *checker) tags(f reflect.StructField, path string) {
	tag := f.Tag.Get("jsonschema")
	words := splitTag(tag)
	if strings.Contains(tag, `\,`) && slices.ContainsFunc(strings.Split(tag, ","), isBareWord) &&
		!slices.ContainsFunc(words, isBareWord) {
		c.fault(path, `the text after an escaped comma would be read as a tag of its own; use jsonschema_description`)
		return
	}
	t := f.Type
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	given := make(map[string]string)
	for _, word := range words {
		c.tag(t, path, word, given)
	}
	described := f.Tag.Get("jsonschema_description")
	if described != "" && given["description"] != "" {
		c.fault(path, "described twice, by description= and by jsonschema_description")
	}
	if strings.TrimSpace(described+given["description"]) == "" {
		c.fault(path, "has no description")
	}
	if isUnsigned(t.Kind()) && strings.HasPrefix(given["minimum"]+"-", "-") {
		c.fault(path, "an unsigned number needs minimum=0 or more")
	}
	if a, b := given["minimum"], given["maximum"]; a != "" && b != "" && number(a) > number(b) {
		c.fault(path, "minimum %s is above maximum %s", a, b)
	}
	for _, size := range []string{"Length", "Items"} {
		if a, b := given["min"+size], given["max"+size]; a != "" && b != "" && number(a) > number(b) {
			c.fault(path, "min%s %s is above max%s %s", size, a, size, b)
		}
	}
}

// isBareWord reports whether invopop gives a word without a value a meaning.
func isBareWord(word string) bool { return word == "required" || word == "nullable" || word == "-" }

// tag checks one word of a jsonschema tag and notes its value in given.
func (c *checker) tag(t reflect.Type, path, word string, given map[string]string) {
	if word == "" || word == "required" {
		return
	}
	key, value, ok := strings.Cut(word, "=")
	if !ok {
		c.fault(path, "%q in the jsonschema tag is no keyword (a text with commas belongs in jsonschema_description)", word)
		return
	}
	if _, twice := given[key]; twice && key != "enum" && key != "default" && key != "example" {
		c.fault(path, "%s= is given twice", key)
	}
	given[key] = value
	kind, known := tagValues(t)[key]
	switch {
	case !known:
		c.fault(path, "%s= has no meaning for %s", key, t)
	case !kind(value):
		c.fault(path, "%s=%s does not parse for %s", key, value, t)
	}
}

// tagValues returns the tags that invopop understands for t and that every
// host takes, each with the check of its value.
func tagValues(t reflect.Type) map[string]func(string) bool {
	values := map[string]func(string) bool{"title": notEmpty, "description": notEmpty}
	switch k := t.Kind(); {
	case k == reflect.String:
		values["minLength"], values["maxLength"] = isCount, isCount
		values["pattern"] = isPattern
		values["default"], values["example"] = anyText, anyText
		values["enum"] = notEmpty
	case k == reflect.Bool:
		values["default"] = func(v string) bool { return v == "true" || v == "false" }
	case k == reflect.Float32 || k == reflect.Float64:
		values["minimum"], values["maximum"] = isNumber, isNumber
		values["default"], values["example"] = isNumber, isNumber
	case isInteger(k):
		values["minimum"], values["maximum"] = isWhole, isWhole
		values["default"], values["example"] = isWhole, isWhole
	case k == reflect.Slice || k == reflect.Array:
		elem := t.Elem()
		// invopop hands the tags of an array on to its items, not further, and
		// writes every default as a string.
		if !isScalar(elem.Kind()) {
			values["minItems"], values["maxItems"] = isCount, isCount
			break
		}
		for key, check := range tagValues(elem) {
			values[key] = check
		}
		values["title"], values["description"] = notEmpty, notEmpty
		delete(values, "default")
		if elem.Kind() == reflect.String {
			values["default"] = anyText
		}
		values["minItems"], values["maxItems"] = isCount, isCount
	}
	return values
}

func isScalar(k reflect.Kind) bool {
	return k == reflect.String || k == reflect.Bool || k == reflect.Float32 || k == reflect.Float64 || isInteger(k)
}

func isInteger(k reflect.Kind) bool { return k >= reflect.Int && k <= reflect.Int64 || isUnsigned(k) }

func isUnsigned(k reflect.Kind) bool { return k >= reflect.Uint && k <= reflect.Uint64 }

func notEmpty(v string) bool { return strings.TrimSpace(v) != "" }

func anyText(string) bool { return true }

func isCount(v string) bool {
	_, err := strconv.ParseUint(v, 10, 31)
	return err == nil
}

// isNumber reports whether v is a finite JSON number; invopop would also let
// NaN, 0x1p4 and +1 through, which is no JSON.
func isNumber(v string) bool {
	if !isNumberLiteral(v) {
		return false
	}
	_, err := strconv.ParseFloat(v, 64)
	return err == nil
}

func isWhole(v string) bool {
	_, err := strconv.ParseInt(v, 10, 64)
	return err == nil && isNumberLiteral(v)
}

func isPattern(v string) bool {
	_, err := regexp.Compile(v)
	return err == nil && v != ""
}

func number(v string) float64 {
	f, _ := strconv.ParseFloat(v, 64)
	return f
}

// splitTag splits at the commas that are not escaped, as invopop does.
func splitTag(tag string) []string {
	var words []string
	var word strings.Builder
	for part := range strings.SplitSeq(tag, ",") {
		if rest, escaped := strings.CutSuffix(part, `\`); escaped {
			word.WriteString(rest + ",")
			continue
		}
		word.WriteString(part)
		words = append(words, word.String())
		word.Reset()
	}
	if word.Len() > 0 {
		words = append(words, word.String())
	}
	return words
}

func isPropertyName(name string) bool {
	if name == "" || len(name) > 64 {
		return false
	}
	for _, r := range name {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '_', r == '.', r == '-':
		default:
			return false
		}
	}
	return true
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}
