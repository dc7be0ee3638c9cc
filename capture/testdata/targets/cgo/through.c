extern int goFail(int n);

int through(int n) {
	volatile int here = n + 1;
	return goFail(here);
}
