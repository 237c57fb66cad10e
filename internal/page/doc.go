// Package page is a page for people: their jobs, what these cost, and the
// answers. It only reads. To look at a job asks fal nothing, submits nothing, and
// does not count as having delivered its answer to a host.
//
// Who asks is in the request's context (tools.CallerFrom): a caller is shown
// what is theirs and nothing of what others have. Who may ask at all, and from
// where, is the transport's to judge; so are the headers that keep the page to
// itself.
//
// Prompts and answers are hostile text. They leave here as JSON, or as a text to
// be kept in a file, with the known secrets masked, and the page puts them in its
// document as text only. Everything is bounded: rows, days, hosts, and the parts
// in which an answer is sent.
package page
