// Package schema turns a Go struct into the JSON Schema that every MCP host
// accepts, and checks a model's arguments against it in words that the model
// can repair its call from.
//
//   - [Generate] derives the schema of a struct from its tags. What the
//     generator behind it would lose in silence (a misspelt tag, a comma in a
//     description, a recursive type) is an error.
//   - [Lint] names everything in a schema that some host refuses.
//   - [Compile] and [Validator.Decode] coerce what models get wrong
//     harmlessly ("42" for 42), report every other fault at once, and fill in
//     the struct.
//
// A field is declared with its constraints once:
//
//	MaxTokens *int `json:"max_tokens,omitempty" jsonschema:"minimum=1,maximum=20000,default=1024" jsonschema_description:"Most tokens to generate."`
//
// A field is required unless its json tag says omitempty or omitzero, or its
// jsonschema tag says required. Defaults are told to the model, not filled in.
//
// The package has no state: everything in it is safe for concurrent use.
package schema
