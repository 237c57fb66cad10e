// Package metrics counts what the server does and shows it to Prometheus, in
// the text exposition format 0.0.4.
//
// It promises: counting takes a short mutex and no allocation once a label set
// is known; whatever the label values hold, the page stays valid; a family
// never has more than 1,001 label sets, so that no caller can fill the memory;
// families and label sets are in the same order on every page.
package metrics
