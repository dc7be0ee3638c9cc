package exporter

// Report logs trouble of somebody who works for the exporter, such as the spool,
// as its own is: to the logger, at most once a minute for each kind. There must
// be a fixed number of kinds. It does not block.
func (e *Exporter) Report(kind string, err error) {
	if e == nil || err == nil {
		return
	}
	defer e.contain("reporting trouble")
	e.trouble.report(kind, "%s", printable(err))
}
